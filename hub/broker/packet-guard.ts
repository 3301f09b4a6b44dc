/** Watches the lengths that MQTT packets announce, so that one that is too large ends its connection before it is buffered. Pure. */

/** Fixed header: one byte, then the remaining length in up to four bytes of seven bits (MQTT 3.1.1, 2.2.3). */
const longestLength = 4

export class PacketGuard {
  readonly #maxFirst: number
  readonly #maxBytes: number
  /** Bytes of the current packet that are still to come. */
  #rest = 0
  #inHeader = false
  #lengthBytes = 0
  #length = 0
  #first = true

  /** @param maxFirst limit of the first packet (CONNECT): nobody is known to be who they say before it is read */
  constructor({ maxFirst, maxBytes }: { maxFirst: number; maxBytes: number }) {
    this.#maxFirst = maxFirst
    this.#maxBytes = maxBytes
  }

  /** Takes the next bytes of the connection. @returns false when a packet in them announces more than is allowed */
  accepts(chunk: Uint8Array): boolean {
    for (let at = 0; at < chunk.length; ) {
      if (this.#rest > 0) {
        const taken = Math.min(this.#rest, chunk.length - at)
        this.#rest -= taken
        at += taken
        continue
      }
      const byte = chunk[at++]!
      if (!this.#inHeader) {
        this.#inHeader = true
        this.#lengthBytes = 0
        this.#length = 0
        continue
      }
      this.#length += (byte & 127) * 128 ** this.#lengthBytes++
      if (byte >= 128) {
        if (this.#lengthBytes >= longestLength) return false
        continue
      }
      if (this.#length > (this.#first ? this.#maxFirst : this.#maxBytes)) return false
      this.#first = false
      this.#inHeader = false
      this.#rest = this.#length
    }
    return true
  }
}
