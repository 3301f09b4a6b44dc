/** `muninn quantize`: a deployed model in int8, judged against the float one. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { defineCommand } from 'citty'
import { MuninnError } from '../../protocol/errors.ts'
import { type LabelledFolder, readFolder } from '../data/read-folder.ts'
import { difference, type Interval, intervals } from '../evaluation/compare.ts'
import { writeAside } from '../files/write-aside.ts'
import { propose } from '../quantization/propose.ts'

/** One line that is drawn over in a terminal; elsewhere a line at each end. */
function show(words: string, step: number, steps: number): void {
  const line = `${words} ${step}/${steps}`
  if (process.stderr.isTTY) process.stderr.write(`\r${line}\x1b[K${step === steps ? '\n' : ''}`)
  else if (step === steps) console.error(line)
}

/** Every fourth picture is held out where no other folder is named: calibration must not see what is judged on. */
const heldOutEvery = 4

async function split(folder: LabelledFolder, validate: string | undefined) {
  if (validate) return { training: folder, heldOut: await readFolder(validate) }
  const part = (held: boolean) => folder.samples.filter((_, i) => (i % heldOutEvery === heldOutEvery - 1) === held)
  return { training: { ...folder, samples: part(false) }, heldOut: { ...folder, samples: part(true) } }
}

const told = ({ value, low, high }: Interval) => `${value.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`

export const quantize = defineCommand({
  meta: {
    name: 'quantize',
    description: `Makes an int8 file of a deployed model: ranges from the pictures of --data, layers that lose too much left in float. It is proposed when it loses at most 1 point of mAP on held-out pictures and is at least 1.8 times as quick; else nothing is written and the exit code is 1 (--force writes it all the same). A file like any other for devices; training goes on from the float file.

  muninn quantize model.onnx --data street/ --validate held-out/ --out int8.onnx`,
  },
  args: {
    input: { type: 'positional', description: 'a deployed model (ONNX)', required: true },
    data: { type: 'string', description: 'folder with labelled pictures that it was trained on', required: true },
    validate: {
      type: 'string',
      description: 'folder with labelled pictures to judge on; left out: every fourth picture of --data, kept from calibration',
    },
    out: { type: 'string', description: 'where to write the int8 file', required: true },
    force: { type: 'boolean', description: 'write it though it is not proposed' },
    json: { type: 'boolean', description: 'as JSON, for programs' },
  },
  async run({ args }) {
    if (!existsSync(args.input)) throw new MuninnError('NOT_FOUND', `there is no file ${args.input}`)
    const model = await readFile(args.input)
    const { training, heldOut } = await split(await readFolder(args.data), args.validate)
    if (heldOut.samples.length === 0)
      throw new MuninnError('NOT_READY', `${args.validate ?? args.data} has too few pictures to judge on`)
    const { made, files, judged } = await propose(model, {
      training,
      heldOut,
      onProgress: ({ words, step, steps }) => show(words, step, steps),
    })
    const lost = difference(files.int8.scored, files.float.scored)
    const written = judged.proposed || args.force === true
    if (written) await writeAside(args.out, made.model)
    const { rule, floats, pictures } = made
    if (args.json) {
      const both = { float: intervals(files.float.scored), int8: intervals(files.int8.scored) }
      console.log(JSON.stringify({ ...judged, intervals: both, difference: lost, rule, floats, pictures, written }))
    } else {
      console.log(`ranges by ${rule} from ${pictures} pictures; judged on ${heldOut.samples.length} others`)
      console.log(
        `in float: ${floats.length > 0 ? floats.join(', ') : 'nothing'} (of ${floats.length + made.integer.length} layers)`,
      )
      for (const name of ['float', 'int8'] as const) {
        const { mAP50, 'mAP50-95': all } = intervals(files[name].scored)
        const times = judged.paces.map(
          ({ threads, milliseconds }) =>
            `${milliseconds[name === 'float' ? 0 : 1]!.toFixed(2)} ms (${threads} thread${threads > 1 ? 's' : ''})`,
        )
        console.log(
          `${name.padEnd(6)} mAP50 ${told(mAP50)}  mAP50-95 ${told(all)}  ${times.join('  ')}  ${(judged[name].bytes / 1e6).toFixed(2)} MB`,
        )
      }
      console.log(`gain   mAP50 ${told(lost.mAP50)}  mAP50-95 ${told(lost['mAP50-95'])}, on the same pictures`)
      for (const reason of judged.reasons) console.log(`- ${reason}`)
      console.log(
        judged.proposed
          ? `${args.out}: int8 is proposed`
          : `int8 is not proposed${written ? `; ${args.out} was written because of --force` : '; deploy the float file'}`,
      )
    }
    return written ? 0 : 1
  },
})
