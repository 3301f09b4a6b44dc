/** `muninn demo-data`: a labelled data set of the drawn street, as a folder with coco.json. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { defineCommand } from 'citty'
import sharp from 'sharp'
import { MuninnError } from '../../protocol/errors.ts'
import { kinds } from '../demo/objects.ts'
import { type Condition, conditions, renderStreet } from '../demo/street.ts'

const categoryOf = (label: string) => kinds.findIndex((kind) => kind.localeCompare(label) === 0) + 1

export const demoData = defineCommand({
  meta: {
    name: 'demo-data',
    description: `Draws pictures of the demo street with their true boxes, as a folder with coco.json and images/.

  muninn demo-data --out street/ --images 800 --condition day`,
  },
  args: {
    out: { type: 'string', description: 'folder to write to', required: true },
    images: { type: 'string', default: '200', description: 'how many pictures' },
    condition: { type: 'string', default: 'day', description: conditions.join(', ') },
    seed: { type: 'string', default: '1', description: 'first street; every 40 pictures another one begins' },
  },
  async run({ args }) {
    const condition: Condition | undefined = conditions.find((each) => each === args.condition)
    const count = Number(args.images)
    const seed = Number(args.seed)
    if (!condition)
      throw new MuninnError('INVALID_INPUT', `--condition ${args.condition}: one of ${conditions.join(', ')} is wanted`)
    if (!Number.isInteger(count) || count < 1 || !Number.isInteger(seed))
      throw new MuninnError('INVALID_INPUT', '--images and --seed want whole numbers')
    await mkdir(join(args.out, 'images'), { recursive: true })
    const images = []
    const annotations = []
    for (let i = 0; i < count; i++) {
      // Another moment of another scene each time.
      const frame = await renderStreet({ seed: seed + Math.floor(i / 40), seconds: i * 5.37, condition })
      const name = `${condition}-${String(i).padStart(5, '0')}.jpg`
      await sharp(frame.data, { raw: { width: frame.width, height: frame.height, channels: 3 } })
        .jpeg({ quality: 90 })
        .toFile(join(args.out, 'images', name))
      images.push({ id: i + 1, file_name: name, width: frame.width, height: frame.height })
      for (const { box, label } of frame.truth) {
        const [x1, y1, x2, y2] = box
        const bbox = [x1, y1, x2 - x1, y2 - y1]
        annotations.push({
          id: annotations.length + 1,
          image_id: i + 1,
          category_id: categoryOf(label),
          bbox,
          area: bbox[2]! * bbox[3]!,
          iscrowd: 0,
        })
      }
    }
    const categories = kinds.map((name, i) => ({ id: i + 1, name }))
    await writeFile(join(args.out, 'coco.json'), JSON.stringify({ images, annotations, categories }))
    console.log(`${args.out}: ${count} pictures, ${annotations.length} boxes`)
  },
})
