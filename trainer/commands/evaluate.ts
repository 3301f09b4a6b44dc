/** `muninn evaluate`: the 12 COCO numbers. */
import { defineCommand } from 'citty'
import { evaluateCoco } from '../evaluation/coco.ts'
import { CocoResults, CocoTruth, pair, readCoco } from '../evaluation/coco-files.ts'

export const evaluate = defineCommand({
  meta: {
    name: 'evaluate',
    description: `COCO's 12 numbers of a results file against ground truth, as pycocotools counts them.

  muninn evaluate --ground-truth gt.json --detections dt.json --json`,
  },
  args: {
    'ground-truth': { type: 'string', description: 'COCO annotations (images, annotations, categories)', required: true },
    detections: { type: 'string', description: 'COCO results (image_id, category_id, bbox, score)', required: true },
    json: { type: 'boolean', description: 'as JSON, for programs' },
  },
  async run({ args }) {
    const truth = await readCoco(args['ground-truth'], CocoTruth)
    const { pictures, labels } = pair(truth, await readCoco(args.detections, CocoResults))
    const numbers = evaluateCoco(pictures, labels)
    if (args.json) console.log(JSON.stringify(numbers))
    else for (const [name, value] of Object.entries(numbers)) console.log(`${name.padEnd(6)} ${value.toFixed(4)}`)
  },
})
