/** `muninn adopt`: a foreign detector into the deployed model's form. */
import { defineCommand } from 'citty'
import { adapters, adoptFile } from '../adapters/adopt-file.ts'

export const adopt = defineCommand({
  meta: {
    name: 'adopt',
    description: `Writes normalisation, decoding, suppression and an embedding around a foreign detector, so that it can be deployed.

  muninn adopt yolox_nano.onnx --adapter yolox --classes coco.names --out yolox.onnx`,
  },
  args: {
    input: { type: 'positional', description: 'the ONNX file', required: true },
    adapter: { type: 'string', description: `its family: ${Object.keys(adapters).join(', ')}`, required: true },
    classes: { type: 'string', description: 'text file with its class names, one a line', required: true },
    out: { type: 'string', description: 'where to write the deployed model', required: true },
  },
  async run({ args }) {
    const { classes, width, height } = await adoptFile({
      input: args.input,
      adapter: args.adapter,
      classes: args.classes,
      output: args.out,
    })
    console.log(`${args.out}: ${width} x ${height}, ${classes.length} classes`)
  },
})
