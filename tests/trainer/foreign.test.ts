/** Looking at a foreign file ends, whatever the file: what is cut and joined again and again has ways without number, but only so many values. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Foreign } from '../../trainer/adapters/foreign.ts'
import { settle } from '../../trainer/adapters/settle.ts'
import { GraphBuilder, type Value } from '../../trainer/graph/builder.ts'
import type { Node } from '../../trainer/onnx/graph.ts'

const rungs = 60
const size = { width: 16, height: 16 }

/** Gives up where a walk takes ways instead of values: nothing else would end it. */
class Counted extends Foreign {
  looks = 0
  #look(): void {
    if (++this.looks > 50 * rungs) throw new Error(`more than ${50 * rungs} looks at a file of ${rungs} joins`)
  }
  override maker(name: string): Node | undefined {
    this.#look()
    return super.maker(name)
  }
  override users(name: string): readonly Node[] {
    this.#look()
    return super.users(name)
  }
}

async function opened(build: (g: GraphBuilder, x: Value) => Value): Promise<{ foreign: Counted; output: string }> {
  const g = new GraphBuilder('ladder')
  g.output(build(g, g.input('x', 'float32', [1, 3, size.height, size.width])), 'y')
  const foreign = new Counted(await settle(g.graph, size))
  return { foreign, output: foreign.graph.outputs[0]!.name }
}

/** Two ways at each rung: 2^60 from one end to the other. */
function ladder(value: Value, rung: (value: Value) => Value): Value {
  let at = value
  for (let i = 0; i < rungs; i++) at = rung(at)
  return at
}
const map = (g: GraphBuilder, x: Value, channels: number) =>
  g.conv(x, g.constant(new Float32Array(3 * channels), [channels, 3, 1, 1]), null)
/** The halves of the channels, changed over. */
const crossed = (g: GraphBuilder, value: Value) => g.concat([g.slice(value, [2], [4], [1]), g.slice(value, [0], [2], [1])], 1)

describe('a foreign file with sixty joins in a row', { timeout: 60_000 }, () => {
  it('is searched for the maps that it ends in', async () => {
    const { foreign, output } = await opened((g, x) => ladder(map(g, x, 4), (value) => crossed(g, value)))
    assert.deepEqual(
      foreign.ends(output).map((name) => foreign.shape(name)),
      [[1, 4, 16, 16]],
    )
  })

  it('does not end in a map that another one hangs on', async () => {
    const { foreign, output } = await opened((g, x) =>
      map(
        g,
        ladder(map(g, x, 3), (value) => g.concat([g.slice(value, [2], [3], [1]), g.slice(value, [0], [2], [1])], 1)),
        5,
      ),
    )
    assert.deepEqual(
      foreign.ends(output).map((name) => foreign.shape(name)),
      [[1, 5, 16, 16]],
    )
  })

  for (const join of ['Add', 'Concat'] as const)
    for (const linear of [false, true])
      it(`of ${join} is searched for the linear layer of its scores: ${linear ? 'it is before the first join' : 'there is none'}`, async () => {
        const { foreign, output } = await opened((g, x) => {
          const rows = g.reshape(map(g, x, 4), [1, 4, 256])
          const scores = linear ? g.matMul(rows, g.constant(new Float32Array(256 * 4), [256, 4])) : g.relu(rows)
          return ladder(scores, (value) =>
            join === 'Add' ? g.add(value, value) : g.concat([g.slice(value, [2], [4], [2]), g.slice(value, [0], [2], [2])], 2),
          )
        })
        assert.equal(foreign.isLinear(output), linear)
        assert.ok(foreign.looks > rungs)
      })
})
