/**
 * What a few labels teach: each variant of the recipe is trained with the same number of steps on the same labels, and measured on
 * held-out pictures that share no clip and no near-duplicate with them. A run that is cut off goes on where it was.
 * The table and the page are written at the end of each.
 *
 *   npm run bench:few-labels -- --datasets bccd,license-plate --labels 50,100,200 --seeds 1,2 --variants base,mixup [--base yolox|demo|none|file.onnx]
 *     [--size 320] [--steps 400] [--device cpu|webgpu|cuda] [--minutes 60] [--folder ../shared/data/datasets] [--out few-labels] [--python python3]
 */
import { mkdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { adopt } from '../../trainer/adapters/adopt-file.ts'
import { readClasses } from '../../trainer/adapters/class-names.ts'
import { yolox } from '../../trainer/adapters/yolox.ts'
import { deployed } from '../../trainer/detector/deploy.ts'
import { parseDevice } from '../../trainer/engine/devices/choose-device.ts'
import { meanOf } from '../../trainer/evaluation/average-precision.ts'
import { calibrationOf } from '../../trainer/evaluation/calibration.ts'
import { score } from '../../trainer/evaluation/compare.ts'
import { writeAside } from '../../trainer/files/write-aside.ts'
import { readOnnxFile } from '../../trainer/onnx/read.ts'
import { upgrade } from '../../trainer/onnx/upgrade.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { sharedData } from '../support/shared-data.ts'
import { type Cell, readCells, readPictures, runCell, sameCell } from './few-labels-cell.ts'
import { differenceOverSeeds, precisionOverSeeds, type Row } from './few-labels-compare.ts'
import { type FewLabelsSet, readFewLabelsSet } from './few-labels-data.ts'
import { markdown, page } from './few-labels-report.ts'
import { variants } from './few-labels-variants.ts'

const { values } = parseArgs({
  options: {
    datasets: { type: 'string', default: 'bccd,license-plate' },
    labels: { type: 'string', default: '50,100,200' },
    seeds: { type: 'string', default: '1,2' },
    variants: { type: 'string', default: 'base' },
    base: { type: 'string', default: 'yolox' },
    size: { type: 'string', default: '320' },
    steps: { type: 'string', default: '400' },
    /** PyTorch takes CUDA on any other than the processor. */
    device: { type: 'string', default: 'cpu' },
    /** No cell is begun after so long; the same command goes on. */
    minutes: { type: 'string', default: '100000' },
    folder: { type: 'string', default: sharedData('datasets') },
    out: { type: 'string', default: 'few-labels' },
    /** With torch, onnx and opencv, for the variant `pytorch`. */
    python: { type: 'string', default: 'python3' },
  },
})
const list = (text: string) => text.split(',').filter((each) => each !== '')
const names = list(values.variants)
for (const name of names)
  if (!variants[name]) throw new Error(`there is no variant ${name}; there are ${Object.keys(variants).join(', ')}`)
const device = parseDevice(values.device)
const [size, steps, out] = [Number(values.size), Number(values.steps), resolve(values.out)]
const setting = `${values.base.split('/').at(-1)}-${size}px-${steps}steps`

async function startModel(): Promise<Uint8Array | null> {
  if (values.base === 'none') return null
  if (values.base === 'demo') return await readFile('trainer/base/demo-street.onnx')
  if (values.base !== 'yolox') return await readFile(values.base)
  const classes = await readClasses(sharedData('models/coco.names'))
  const file = upgrade(await readOnnxFile(sharedData('models/yolox-nano/yolox_nano.onnx')))
  const { core, specification, ...input } = await adopt(file, yolox, { classes })
  return writeOnnx(deployed(core, specification, input))
}

async function rowsOf(cells: readonly Cell[], sets: readonly FewLabelsSet[]): Promise<Row[]> {
  const rows: Row[] = []
  for (const { name: dataset, classes } of sets) {
    for (const labels of list(values.labels).map(Number)) {
      const own = cells.filter((cell) => cell.dataset === dataset && cell.labels === labels && cell.setting === setting)
      const scored = new Map<Cell, ReturnType<typeof score>>()
      for (const cell of own) scored.set(cell, score(await readPictures(out, cell), classes.length))
      for (const variant of names) {
        const seeds = own.filter((cell) => cell.variant === variant)
        if (seeds.length === 0) continue
        const pairs = seeds.flatMap((cell) => {
          const base = own.find((each) => each.variant === 'base' && each.seed === cell.seed)
          return base && variant !== 'base' ? [{ variant: scored.get(cell)!, base: scored.get(base)! }] : []
        })
        rows.push({
          dataset,
          labels,
          variant,
          seeds: seeds.length,
          seconds: seeds.reduce((sum, { seconds }) => sum + seconds, 0) / seeds.length,
          ECE: meanOf(seeds.map((cell) => calibrationOf(scored.get(cell)!.rankings).ECE)),
          ...precisionOverSeeds(seeds.map((cell) => scored.get(cell)!)),
          difference: pairs.length > 0 ? differenceOverSeeds(pairs) : null,
        })
      }
    }
  }
  return rows
}

const begun = performance.now()
const late = () => performance.now() - begun > Number(values.minutes) * 60_000
await mkdir(out, { recursive: true })
const base = await startModel()
const sets: FewLabelsSet[] = []
for (const name of list(values.datasets)) {
  const set = await readFewLabelsSet(join(values.folder, name))
  console.log(`${name}: labels are drawn from ${set.pool.length} pictures, ${set.heldOut.length} are held out`)
  sets.push(set)
}
const wanted = list(values.seeds).flatMap((seed) =>
  sets.flatMap((set) =>
    list(values.labels).flatMap((labels) =>
      Number(labels) > set.pool.length
        ? []
        : names.map((variant) => ({
            set,
            key: { dataset: set.name, labels: Number(labels), seed: Number(seed), variant, setting },
          })),
    ),
  ),
)
let cells = await readCells(out)
const missing = wanted.filter(({ key }) => !cells.some((cell) => sameCell(cell, key)))
console.log(`${wanted.length} cells, ${missing.length} to run: ${setting}`)
for (const [i, { set, key }] of missing.entries()) {
  if (late()) break
  const cell = await runCell({ key, set, variant: variants[key.variant]!, base, size, steps, device, out, python: values.python })
  cells = [...cells, cell]
  console.log(
    `${i + 1}/${missing.length}  ${key.dataset} ${key.labels} seed ${key.seed} ${key.variant}: mAP50 ${cell.mAP50.toFixed(3)}, mAP50-95 ${cell['mAP50-95'].toFixed(3)}, ${cell.seconds.toFixed(0)} s`,
  )
}
const rows = await rowsOf(cells, sets)
const words = Object.fromEntries(Object.entries(variants).map(([name, variant]) => [name, variant.words]))
await writeAside(join(out, 'few-labels.md'), `${setting}\n\n${markdown(rows)}\n`)
await writeAside(join(out, 'few-labels.html'), page(rows, { words, settings: setting }))
console.log(markdown(rows))
