/** A picture with what was found drawn into it, for people to look at. */
import sharp from 'sharp'
import type { Box } from '../../protocol/boxes.ts'
import type { Picture } from '../../protocol/letterbox.ts'
import { markup } from '../report/markup.ts'

const colors = ['#ff922b', '#4dabf7', '#51cf66', '#f06595', '#cc5de8', '#fcc419', '#22b8cf', '#ff6b6b']

/** @returns JPEG */
export async function drawDetections(
  { width, height, data }: Picture,
  detections: readonly { readonly box: Box; readonly label: string; readonly score: number }[],
): Promise<Buffer> {
  const size = Math.max(11, Math.max(width, height) / 55)
  const labels = [...new Set(detections.map(({ label }) => label))].sort()
  const shapes = detections.map(({ box: [x1, y1, x2, y2], label, score }) => {
    const color = colors[labels.indexOf(label) % colors.length]!
    const y = y1 > size * 1.3 ? y1 - size * 0.3 : Math.min(height, y1 + size * 1.1)
    return markup`<rect x="${x1}" y="${y1}" width="${Math.max(0, x2 - x1)}" height="${Math.max(0, y2 - y1)}" fill="none" stroke="${color}" stroke-width="${Math.max(2, size / 7)}"/><text x="${x1 + size * 0.2}" y="${y}" font-family="sans-serif" font-weight="bold" font-size="${size}" fill="${color}" stroke="#000" stroke-width="${size / 6}" paint-order="stroke">${label} ${score.toFixed(2)}</text>`
  })
  const drawing = markup`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${shapes}</svg>`.text
  return await sharp(data, { raw: { width, height, channels: 3 } })
    .composite([{ input: Buffer.from(drawing), left: 0, top: 0 }])
    .jpeg({ quality: 92 })
    .toBuffer()
}
