/**
 * Muninn's side of train.ts, in a process of its own so that its peak memory is its own.
 *
 *   train-engine.js CASE SIZE BATCH CLASSES DEVICE [MODEL]
 *
 * Reads lines from standard input: `step N` prints the milliseconds of wall and of processor time that each of N steps on resident data
 * took, `whole N` those of N steps with pictures decoded, augmented and assigned on the way, `memory` the peak resident memory in MB.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { defaultRecipe } from '../../protocol/recipe.ts'
import { adopt } from '../../trainer/adapters/adopt-file.ts'
import { yolox } from '../../trainer/adapters/yolox.ts'
import { Loader } from '../../trainer/data/loader.ts'
import { readFolder } from '../../trainer/data/read-folder.ts'
import { sharesOf } from '../../trainer/data/sampling.ts'
import { coreOf } from '../../trainer/detector/core.ts'
import { roomFor } from '../../trainer/detector/heads/table.ts'
import { plainNetwork } from '../../trainer/detector/network.ts'
import { Random } from '../../trainer/detector/random.ts'
import { parseDevice } from '../../trainer/engine/devices/choose-device.ts'
import type { Device } from '../../trainer/engine/devices/executor.ts'
import { type Feeds, unshared } from '../../trainer/engine/feeds.ts'
import { packed } from '../../trainer/engine/step-graph.ts'
import { initialState } from '../../trainer/engine/trainer-state.ts'
import { planOn } from '../../trainer/loop/plan.ts'
import { augmentationAt } from '../../trainer/loop/recipe.ts'
import { trainable } from '../../trainer/loop/start.ts'
import { readOnnxFile } from '../../trainer/onnx/read.ts'
import { upgrade } from '../../trainer/onnx/upgrade.ts'

const [, , name, sizeText, batchText, classesText, device, model] = process.argv
const [size, batch, count] = [sizeText, batchText, classesText].map(Number) as [number, number, number]
const classes = Array.from({ length: count }, (_, i) => `class ${i}`)
const { graph, specification } =
  name === 'yolox'
    ? await readOnnxFile(model!).then(async (file) => {
        const { core, specification: known } = await adopt(upgrade(file), yolox, { classes })
        return { graph: core, specification: known }
      })
    : plainNetwork({ width: size, height: size, classes, random: new Random(1) })
const folder = mkdtempSync(join(tmpdir(), 'muninn-bench-'))
// By a process of its own: what drawing takes would count as the training's memory.
execFileSync(process.execPath, [
  fileURLToPath(new URL('../../cli/main.js', import.meta.url)),
  'demo-data',
  '--out',
  folder,
  '--images',
  '32',
])
const drawn = await readFolder(folder)
const samples = drawn.samples.map(({ path, labels }) => ({
  path,
  labels: labels.map(({ box }, i) => ({ box, label: i % count })),
}))
const core = coreOf(graph, specification)
const {
  parts,
  micro,
  loaders,
  step,
  runner: runnerOf,
} = await planOn(parseDevice(device!) as Device, {
  core,
  specification,
  width: size,
  height: size,
  batch,
  room: roomFor(samples),
  parameters: trainable(core),
  rateScale: () => 1,
  decay: (_, shape) => (shape.length > 1 ? 0.02 : 0),
})
const runner = runnerOf(initialState(packed(core, step.parameters), packed(core, step.statistics)))
await runner.start()
console.error((await runner.describe()).description)

const loader = new Loader({
  setup: {
    samples,
    shares: sharesOf(samples, defaultRecipe),
    width: size,
    height: size,
    specification,
    batch: micro,
    parts,
    seed: 1,
    cacheBytes: 1.5e9,
  },
  threads: loaders,
  augmentation: () => augmentationAt(defaultRecipe, 0, 1),
})
const resident = (await loader.batches(0)).map(unshared)
let at = 1

async function timed(steps: number, feeds: () => Promise<readonly Feeds[]>): Promise<string> {
  const [begun, used] = [performance.now(), process.cpuUsage()]
  for (let i = 0; i < steps; i++) await runner.run(await feeds(), { rate: 1e-4, averageDecay: 0.99 })
  const { user, system } = process.cpuUsage(used)
  return `${(performance.now() - begun) / steps} ${(user + system) / 1000 / steps}`
}

for await (const line of createInterface(process.stdin)) {
  const [command, steps] = line.split(' ')
  if (command === 'memory') console.log(process.resourceUsage().maxRSS / 1024)
  else if (command === 'step') console.log(await timed(Number(steps), async () => resident))
  else console.log(await timed(Number(steps), () => loader.batches(at++)))
}
await loader.stop()
await runner.stop()
rmSync(folder, { recursive: true })
