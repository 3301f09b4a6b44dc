import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PacketGuard } from '../../hub/broker/packet-guard.ts'

/** A packet with this remaining length; its bytes look like huge headers, which they are not. */
function packet(length: number): Uint8Array {
  const header = [0x30]
  let rest = length
  do {
    header.push((rest % 128) | (rest > 127 ? 128 : 0))
    rest = Math.floor(rest / 128)
  } while (rest > 0)
  return Buffer.concat([Uint8Array.from(header), new Uint8Array(length).fill(0xff)])
}

const guard = () => new PacketGuard({ maxFirst: 100, maxBytes: 20_000 })

describe('packet guard', () => {
  const stream = Buffer.concat([packet(100), packet(0), packet(127), packet(128), packet(16_384), packet(20_000), packet(1)])
  for (const size of [1, 2, 3, 7, 1000, stream.length]) {
    it(`lets packets within the limits through in chunks of ${size} bytes`, () => {
      const one = guard()
      for (let at = 0; at < stream.length; at += size) assert.ok(one.accepts(stream.subarray(at, at + size)))
    })

    it(`stops the first packet beyond them in chunks of ${size} bytes`, () => {
      const one = guard()
      const bad = Buffer.concat([stream, packet(20_001)])
      let stopped = false
      for (let at = 0; at < bad.length && !stopped; at += size) stopped = !one.accepts(bad.subarray(at, at + size))
      assert.ok(stopped)
    })
  }

  it('holds the first packet to a limit of its own', () => {
    assert.ok(!guard().accepts(packet(101)))
  })

  it('stops a length of more than four bytes', () => {
    assert.ok(!guard().accepts(Uint8Array.from([0x10, 0xff, 0xff, 0xff, 0xff, 0x01])))
  })
})
