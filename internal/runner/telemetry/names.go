package telemetry

// nameSet is the variables of an attempt, at most maxVariables.
type nameSet struct {
	known map[string]struct{}
	// recent has the names of the last samples by position, because the next
	// sample most likely has the same there.
	recent []string
}

// valid reports whether a variable may have this name. That it is UTF-8 is
// checked when it is decoded.
func (n *nameSet) valid(name string) bool { return name != "" && len(name) <= maxName }

// admit reports whether the variable of a sample's i-th value is one of the set,
// adding it while there is room.
func (n *nameSet) admit(i int, name string) bool {
	if i < len(n.recent) && n.recent[i] == name {
		return true
	}
	if !n.add(name) {
		return false
	}
	if i < len(n.recent) {
		n.recent[i] = name
	} else if i == len(n.recent) && i < maxVariables {
		n.recent = append(n.recent, name)
	}
	return true
}

func (n *nameSet) add(name string) bool {
	if _, ok := n.known[name]; ok {
		return true
	}
	if len(n.known) >= maxVariables {
		return false
	}
	if n.known == nil {
		n.known = make(map[string]struct{})
	}
	n.known[name] = struct{}{}
	return true
}
