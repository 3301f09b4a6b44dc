/** `muninn inspect`: what an ONNX file is and what can be done with it. */
import { defineCommand } from 'citty'
import type { Inspection, Verdict } from '../inspection/inspection.ts'
import { inspect as inspectFile } from '../inspection/probe.ts'

export const inspect = defineCommand({
  meta: {
    name: 'inspect',
    description: `Says what an ONNX file is, and whether it can be run, adopted and fine-tuned; if not, by which op and what helps.

The file is tried in a process of its own with bounds on time and memory, so a broken or hostile one does no harm.

  muninn inspect yolox_nano.onnx
  muninn inspect model.onnx --json`,
  },
  args: {
    input: { type: 'positional', description: 'the ONNX file', required: true },
    json: { type: 'boolean', description: 'as JSON, for programs' },
  },
  async run({ args }) {
    const inspection = await inspectFile(args.input)
    console.log(args.json ? JSON.stringify({ file: args.input, ...inspection }) : describe(args.input, inspection))
  },
})

function describe(file: string, { header, run, adopt, fineTune }: Inspection): string {
  const values = (list: Inspection['header']['inputs']) =>
    list.map(({ name, type, shape }) => `${name} ${type} [${shape.join(', ')}]`).join('\n             ')
  const opsets = Object.entries(header.opsets).map(([domain, version]) => `${domain} ${version}`)
  const ops = Object.entries(header.ops).map(([op, count]) => `${op} ${count}`)
  return [
    `${file}: ONNX, IR version ${header.irVersion}, opset ${opsets.join(', ')}${header.producer && `, made by ${header.producer}`}`,
    `  inputs     ${values(header.inputs)}`,
    `  outputs    ${values(header.outputs)}`,
    `  parameters ${header.parameters.toLocaleString('en')}`,
    `  ops        ${ops.join(', ')}`,
    tell('run', run),
    tell('adopt', adopt),
    tell('fine-tune', fineTune),
  ].join('\n')
}

const tell = (what: string, { can, why, cure }: Verdict): string =>
  `  ${what.padEnd(10)} ${can ? 'yes' : 'no'}: ${why.replaceAll('\n', '\n             ')}${cure ? `\n             what helps: ${cure}` : ''}`
