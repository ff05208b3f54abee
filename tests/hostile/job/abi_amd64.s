#include "textflag.h"

// func forkABI(x32 bool) (pid int)
//
// The child makes the system call getpid by the interrupt of 32-bit programs, or by
// the number of x32 ones, and exits with status 0 where it comes back.
TEXT ·forkABI(SB), NOSPLIT, $0-16
	MOVBQZX x32+0(FP), R12
	MOVQ $56, AX // clone, with SIGCHLD
	MOVQ $17, DI
	XORQ SI, SI
	XORQ DX, DX
	XORQ R10, R10
	XORQ R8, R8
	SYSCALL
	TESTQ AX, AX
	JNE  parent
	TESTQ R12, R12
	JNE  other
	MOVL $20, AX
	INT  $0x80
	JMP  out
other:
	MOVQ $0x40000027, AX
	SYSCALL
out:
	MOVQ $231, AX // exit_group
	XORQ DI, DI
	SYSCALL
parent:
	MOVQ AX, pid+8(FP)
	RET
