/**
 * Environment of a process that trains. Tensors and pictures are many and large, and glibc learns to keep freed pieces of up to 32 MiB in its
 * heaps (mallopt(3), M_MMAP_THRESHOLD); at a fixed threshold they go back at once: a tenth less memory, at the same speed. Other systems ignore it.
 */
export const trainerEnvironment = { MALLOC_MMAP_THRESHOLD_: '262144' } as const
