# Every register gets a value that says its name; then the program dies and leaves a core.
	.globl _start
_start:
	mov $0x1111111111111111,%rax
	mov $0x2222222222222222,%rbx
	mov $0x3333333333333333,%rcx
	mov $0x4444444444444444,%rdx
	mov $0x5555555555555555,%rsi
	mov $0x6666666666666666,%rdi
	mov $0x7777777777777777,%rbp
	mov $0x8888888888888888,%r8
	mov $0x9999999999999999,%r9
	mov $0xaaaaaaaaaaaaaaaa,%r10
	mov $0xbbbbbbbbbbbbbbbb,%r11
	mov $0xcccccccccccccccc,%r12
	mov $0xdddddddddddddddd,%r13
	mov $0xeeeeeeeeeeeeeeee,%r14
	mov $0xf0f0f0f0f0f0f0f0,%r15
	ud2
	.bss
	.skip 32
	.section .note.GNU-stack,"",@progbits
