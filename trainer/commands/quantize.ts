/** `muninn quantize`: a deployed model in int8, judged against the float one. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { defineCommand } from 'citty'
import { MuninnError } from '../../protocol/errors.ts'
import { readDataSet } from '../data/data-set.ts'
import { parseThreads } from '../engine/threads.ts'
import { difference, type Interval, intervals } from '../evaluation/compare.ts'
import { writeAside } from '../files/write-aside.ts'
import { propose } from '../quantization/propose.ts'
import { ProgressDisplay } from './progress.ts'

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
      description:
        "folder with labelled pictures to judge on; left out: the folder's own split, else a cut of 15 %, as `muninn train` makes it",
    },
    out: { type: 'string', description: 'where to write the int8 file', required: true },
    threads: { type: 'string', description: 'cores of the processor that it may keep busy; left out: all of them' },
    force: { type: 'boolean', description: 'write it though it is not proposed' },
    json: { type: 'boolean', description: 'as JSON, for programs' },
  },
  async run({ args }) {
    const threads = parseThreads(args.threads)
    if (!existsSync(args.input)) throw new MuninnError('NOT_FOUND', `there is no file ${args.input}`)
    const model = await readFile(args.input)
    const display = new ProgressDisplay({ out: process.stderr })
    const data = await readDataSet({
      data: args.data,
      validation: args.validate,
      onPicture: (done, of) => display.counting('looks at the pictures', done, of),
    })
    if (data.heldOut.length === 0)
      throw new MuninnError('NOT_READY', `${args.validate ?? args.data} has too few pictures to judge on`)
    for (const note of data.notes) display.log(note)
    const { made, files, judged } = await propose(model, {
      training: { samples: data.training, classes: data.classes },
      heldOut: { samples: data.heldOut, classes: data.heldOutClasses },
      threads,
      onProgress: ({ words, step, steps }) => display.counting(words, step, steps),
    })
    const lost = difference(files.int8.scored, files.float.scored)
    const written = judged.proposed || args.force === true
    if (written) await writeAside(args.out, made.model)
    const { rule, floats, pictures } = made
    if (args.json) {
      const both = { float: intervals(files.float.scored), int8: intervals(files.int8.scored) }
      console.log(JSON.stringify({ ...judged, intervals: both, difference: lost, rule, floats, pictures, written }))
    } else {
      console.log(`ranges by ${rule} from ${pictures} pictures; judged on ${data.heldOut.length} others`)
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
