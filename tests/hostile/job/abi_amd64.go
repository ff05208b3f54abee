package main

// forkABI makes a child that makes a system call of the 32-bit interface, or of
// x32, and returns its process id, or a negative error number. Not a line of Go
// runs in the child.
func forkABI(x32 bool) (pid int)
