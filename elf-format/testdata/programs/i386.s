# Every register gets a value that says its name; then the program dies and leaves a core.
	.globl _start
_start:
	mov $0x11111111,%eax
	mov $0x22222222,%ebx
	mov $0x33333333,%ecx
	mov $0x44444444,%edx
	mov $0x55555555,%esi
	mov $0x66666666,%edi
	mov $0x77777777,%ebp
	ud2
	.section .note.GNU-stack,"",@progbits
