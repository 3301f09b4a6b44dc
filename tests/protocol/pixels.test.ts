/** The kernels over pixels give what their formulas say, to the last bit, and change nothing else. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Picture, resizeInto } from '../../protocol/letterbox.ts'
import { type ColourMatrix, transformColours } from '../../protocol/pixels/pixels.ts'
import { Random } from '../../trainer/detector/random.ts'

const random = new Random(3)
const noise = (length: number) => Uint8Array.from({ length }, () => random.integer(256))
const noisy = (width: number, height: number): Picture => ({ width, height, data: noise(width * height * 3) })

/** One output byte of a bilinear resize, as the two lines and two columns that it lies between say; weights in 2^11ths. */
function bilinear({ width, height, data }: Picture, x: number, y: number, channel: number): number {
  const tap = (at: number, size: number): [number, number] => {
    const within = Math.min(Math.max(at, 0), size - 1)
    return [Math.floor(within), Math.round((within - Math.floor(within)) * 2048)]
  }
  const [left, u] = tap(x, width)
  const [top, v] = tap(y, height)
  const value = (column: number, row: number) =>
    data[(Math.min(row, height - 1) * width + Math.min(column, width - 1)) * 3 + channel]!
  const upper = value(left, top) * (2048 - u) + value(left + 1, top) * u
  const lower = value(left, top + 1) * (2048 - u) + value(left + 1, top + 1) * u
  return Math.floor((upper * (2048 - v) + lower * v + 2 ** 21) / 2 ** 22)
}

describe('bilinear resize', () => {
  it('gives each pixel of its place what lies under it, mirrored or not, and leaves the rest', () => {
    for (let round = 0; round < 300; round++) {
      const from = noisy(1 + random.integer(60), 1 + random.integer(60))
      const [width, height] = [20 + random.integer(40), 20 + random.integer(40)]
      const place = {
        x: random.integer(60) - 30,
        y: random.integer(60) - 30,
        width: 1 + random.integer(90),
        height: 1 + random.integer(90),
      }
      const mirrored = round % 2 === 1
      const window = [random.integer(10), random.integer(10), width - random.integer(10), height - random.integer(10)] as const
      const before = noise(width * height * 3)
      const into = { width, height, data: before.slice() }
      resizeInto(from, into, place, mirrored, window)
      const expected = before.map((old, i) => {
        const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)]
        const inWindow = x >= window[0] && x < window[2] && y >= window[1] && y < window[3]
        const [dx, dy] = [x - place.x, y - place.y]
        if (!inWindow || dx < 0 || dx >= place.width || dy < 0 || dy >= place.height) return old
        const at = mirrored ? place.width - 1 - dx : dx
        return bilinear(
          from,
          ((at + 0.5) * from.width) / place.width - 0.5,
          ((dy + 0.5) * from.height) / place.height - 0.5,
          i % 3,
        )
      })
      assert.deepEqual(into.data, expected, `round ${round}: ${JSON.stringify({ place, window, mirrored })}`)
    }
  })

  it('reads a picture that threads share, and one of more bytes than were needed before', () => {
    const from = noisy(30_000, 2)
    const shared = new Uint8Array(new SharedArrayBuffer(from.data.length))
    shared.set(from.data)
    const into = { width: 40_000, height: 3, data: new Uint8Array(360_000) }
    resizeInto({ ...from, data: shared }, into, { x: 0, y: 0, width: 40_000, height: 3 })
    for (const x of [0, 1, 19_999, 39_998, 39_999])
      for (const y of [0, 1, 2])
        assert.equal(into.data[(y * 40_000 + x) * 3 + 1], bilinear(from, ((x + 0.5) * 3) / 4 - 0.5, ((y + 0.5) * 2) / 3 - 0.5, 1))
  })
})

describe('a matrix of colours', () => {
  it('is applied to every pixel, rounded and cut, and to nothing beside them', () => {
    const matrix: ColourMatrix = [
      [1.25, -0.5, 0.125, 10],
      [0, 0.75, 0, -3.5],
      [-2, 0.5, 7.5, 100],
    ]
    for (let pixels = 0; pixels < 12; pixels++) {
      const around = noise(pixels * 3 + 20)
      const before = around.slice()
      transformColours(around.subarray(7, 7 + pixels * 3), matrix)
      const expected = before.map((old, i) => {
        if (i < 7 || i >= 7 + pixels * 3) return old
        const [r, g, b, offset] = matrix[(i - 7) % 3]!
        const at = i - ((i - 7) % 3)
        return Math.min(255, Math.max(0, Math.floor(before[at]! * r + before[at + 1]! * g + before[at + 2]! * b + offset + 0.5)))
      })
      assert.deepEqual(around, expected, `${pixels} pixels`)
    }
  })
})
