/** A report's content from made-up detections, judged by the real code; names that a careless page would run. */
import sharp from 'sharp'
import { analyse } from '../../trainer/evaluation/analysis.ts'
import type { EvaluatedPicture } from '../../trainer/evaluation/coco.ts'
import type { ReportContent } from '../../trainer/report/content.ts'
import { showWorst } from '../../trainer/report/pictures.ts'

export const hostile = '<script>document.title = "owned"</script>'

/** @param path where a picture may be written */
export async function reportContent(path: string, classes: readonly string[] = ['car', hostile]): Promise<ReportContent> {
  await sharp({ create: { width: 320, height: 200, channels: 3, background: '#556677' } })
    .jpeg()
    .toFile(path)
  const place = (i: number) => [10 + 3 * i, 20, 110 + 3 * i, 100] as const
  const pictures = Array.from({ length: 24 }, (_, i): EvaluatedPicture => {
    const label = i % classes.length
    const found = { label, box: place(i + (i % 5) * 4), score: 0.35 + (i % 7) * 0.1 }
    const extra = { label: (label + 1) % classes.length, box: [200, 120, 260, 190] as const, score: 0.2 + (i % 4) * 0.2 }
    return { truths: [{ label, box: place(i) }], predictions: i % 6 === 5 ? [] : i % 3 === 0 ? [found, extra] : [found] }
  })
  const analysed = analyse(pictures, { classes })
  const samples = pictures.map(({ truths }) => ({ path, labels: truths }))
  const names = samples.map((_, i) => `images/"><img src=x onerror=alert(1)>${i}.jpg`)
  const { intervals, perClass } = analysed
  return {
    title: `Run of ${hostile}`,
    at: Date.UTC(2026, 0, 2, 3, 4),
    model: { sha256: 'ab'.repeat(32), bytes: 5_000_000, width: 320, height: 320, architecture: 'plain', milliseconds: 4.2 },
    curves: Array.from({ length: 60 }, (_, i) => ({
      step: i + 1,
      values: {
        loss: 3 / (1 + i / 9),
        boxLoss: 1 / (1 + i / 9),
        classLoss: 2 / (1 + i / 9),
        ...(i % 12 === 11 && { mAP50: i / 80, 'mAP50-95': i / 160 }),
      },
    })),
    training: { steps: 60, seconds: 432 },
    analysed: { ...analysed, worst: await showWorst(analysed.worst, { samples, names, classes }) },
    champion: { ...intervals, perClass, millisecondsPerImage: 5 },
    difference: { mAP50: { value: 0.1, low: 0.02, high: 0.2 }, 'mAP50-95': { value: 0.05, low: -0.02, high: 0.1 } },
    quantization: {
      proposed: true,
      reasons: ['it loses 0.2 points of mAP50-95 (at most 1)', 'it is 2.1 times as quick (at least 1.8)'],
      float: { mAP50: 0.8, 'mAP50-95': 0.5, milliseconds: 4.2, bytes: 5_000_000 },
      int8: { mAP50: 0.79, 'mAP50-95': 0.498, milliseconds: 2, bytes: 1_400_000 },
    },
    data: {
      digest: 'cd'.repeat(32),
      splits: [
        { name: 'training', pictures: 140, boxes: 300, empty: 3 },
        { name: 'held out', pictures: 24, boxes: 24, empty: 0 },
      ],
      perClass: classes.map((label, i) => ({ label, training: 150 + i, heldOut: 12 })),
      notes: ['held out: 24 pictures (15 %) in whole runs of look-alikes; --validate names others'],
    },
    command: "muninn train --data 'street pictures' --out run --size 320",
    settings: [['input', '320 x 320']],
    machine: [['CPU', '2 × made up']],
  }
}
