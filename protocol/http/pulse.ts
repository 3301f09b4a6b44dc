/** An event of GET /api/events that says only that the hub is there: a network that is cut closes no stream, it falls silent. */
export const pulse = { event: 'pulse', milliseconds: 20_000 } as const
