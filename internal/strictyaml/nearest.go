package strictyaml

// Nearest returns the name in valid that name was most likely meant to be, or ""
// if nothing is near.
func Nearest(name string, valid []string) string { return "" }
