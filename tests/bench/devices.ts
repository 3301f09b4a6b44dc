/**
 * A training step of the built-in detector on several devices in turn: milliseconds of a picture, and how much quicker than the first.
 *
 *   npm run bench:devices -- [--devices cpu,webgpu,cuda,tfjs] [--size 320] [--batch 8] [--rounds 5] [--steps 3]
 */
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { cellsOf } from '../../trainer/detector/cells.ts'
import { coreOf } from '../../trainer/detector/core.ts'
import { targetOptionsOf } from '../../trainer/detector/heads/table.ts'
import { plainNetwork } from '../../trainer/detector/network.ts'
import { Random } from '../../trainer/detector/random.ts'
import { targetsOf } from '../../trainer/detector/targets.ts'
import { devices } from '../../trainer/engine/devices/executor.ts'
import type { Feeds } from '../../trainer/engine/feeds.ts'
import { packed } from '../../trainer/engine/step-graph.ts'
import { initialState } from '../../trainer/engine/trainer-state.ts'
import { type Plan, planOn } from '../../trainer/loop/plan.ts'
import { trainable } from '../../trainer/loop/start.ts'

const { values } = parseArgs({
  options: {
    devices: { type: 'string', default: 'cpu,webgpu' },
    size: { type: 'string', default: '320' },
    batch: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '5' },
    steps: { type: 'string', default: '3' },
  },
})
const [size, batch, rounds, steps] = [values.size, values.batch, values.rounds, values.steps].map(Number) as [
  number,
  number,
  number,
  number,
]
const wanted = devices.filter((device) => values.devices.split(',').includes(device))
const random = new Random(1)
const classes = ['a', 'b', 'c', 'd', 'e', 'f']
const { graph, specification } = plainNetwork({ width: size, height: size, classes, random })
const core = coreOf(graph, specification)
const cells = cellsOf({ width: size, height: size, strides: specification.strides })

function picture(): { box: readonly [number, number, number, number]; label: number }[] {
  return Array.from({ length: 6 }, () => {
    const [w, h] = [16 + random.integer(size / 4), 16 + random.integer(size / 4)]
    const [x, y] = [random.integer(size - w), random.integer(size - h)]
    return { box: [x, y, x + w, y + h] as const, label: random.integer(classes.length) }
  })
}

const batchesOf = ({ parts, micro }: Plan): Feeds[] =>
  Array.from({ length: parts }, () => ({
    image: {
      type: 'uint8' as const,
      shape: [micro, size, size, 3],
      data: Uint8Array.from({ length: micro * size * size * 3 }, () => random.integer(256)),
    },
    ...targetsOf(Array.from({ length: micro }, picture), { cells, ...targetOptionsOf(specification, micro) }),
  }))

const contenders = await Promise.all(
  wanted.map(async (device) => {
    const plan = await planOn(device, {
      core,
      specification,
      width: size,
      height: size,
      batch,
      parameters: trainable(core),
      rateScale: () => 1,
      decay: () => 0.02,
    })
    const runner = plan.runner(initialState(packed(core, plan.step.parameters), packed(core, plan.step.statistics)))
    await runner.start()
    return { plan, runner, batches: batchesOf(plan), times: [] as number[] }
  }),
)
console.log(`${cpus().length} cores, ${cpus()[0]?.model}; node ${process.version}; ${size} px, batch ${batch}`)
for (const { runner } of contenders) console.log((await runner.describe()).description)
// In turns and both ways round, so that a drift of the machine meets all alike; the first round warms up.
for (let round = 0; round <= rounds; round++) {
  for (const { plan, runner, batches, times } of round % 2 ? contenders.toReversed() : contenders) {
    const begun = performance.now()
    for (let i = 0; i < steps; i++) await runner.run(batches, { rate: 1e-4, averageDecay: 0.99 })
    if (round > 0) times.push((performance.now() - begun) / steps / (plan.parts * plan.micro))
  }
}
const median = (some: readonly number[]) => some.toSorted((a, b) => a - b)[some.length >> 1]!
const [first] = contenders
console.table(
  contenders.map(({ plan, times }) => ({
    device: plan.device,
    'ms a picture': median(times).toFixed(1),
    'images a second': (1000 / median(times)).toFixed(1),
    [`time over ${first?.plan.device}'s`]: median(times.map((time, i) => time / first!.times[i]!)).toFixed(2),
  })),
)
for (const { runner } of contenders) await runner.stop()
