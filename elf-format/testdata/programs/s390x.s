# Every register gets a value that says its name; then the program dies and leaves a core.
	.globl _start
_start:
	lgfi %r0,0x0101
	lgfi %r1,0x1111
	lgfi %r2,0x2222
	lgfi %r3,0x3333
	lgfi %r4,0x4444
	lgfi %r5,0x5555
	lgfi %r6,0x6666
	lgfi %r7,0x7777
	lgfi %r8,0x0808
	lgfi %r9,0x0909
	lgfi %r10,0x0a0a
	lgfi %r11,0x0b0b
	lgfi %r12,0x0c0c
	lgfi %r13,0x0d0d
	lgfi %r14,0x0e0e
	sar %a2,%r2
	sar %a15,%r7
	.byte 0,0
	.section .note.GNU-stack,"",@progbits
