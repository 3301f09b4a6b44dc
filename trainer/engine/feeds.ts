/** Plain typed arrays with their shapes: what a step is given, and what crosses between threads. */
export interface Feed {
  readonly type: 'float32' | 'uint8' | 'int64' | 'int32'
  readonly shape: readonly number[]
  readonly data: Float32Array | Uint8Array | BigInt64Array | Int32Array
}
export type Feeds = Readonly<Record<string, Feed>>

/** With copies of what lies in memory that threads share: other processes cannot be sent that, and it may be written anew. */
export const unshared = (feeds: Feeds): Feeds =>
  Object.fromEntries(
    Object.entries(feeds).map(([name, feed]) => [
      name,
      feed.data.buffer instanceof SharedArrayBuffer ? { ...feed, data: feed.data.slice() } : feed,
    ]),
  )
