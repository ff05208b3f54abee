package main

// abi32 makes a system call of the 32-bit interface. Where such calls pass the
// filter it returns.
func abi32()
