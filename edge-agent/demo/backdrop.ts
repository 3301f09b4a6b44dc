/** The street behind everything: sky, house fronts, pavement, road. Drawn once per seed and light. */
import { randomOf } from './random.ts'
import { curb, height, horizon, width } from './scene.ts'

const fronts = ['#b9a48c', '#a5735c', '#c9c2b4', '#8f9aa3', '#b58c6a', '#d2c5a0', '#7f8b86', '#a89aa8']

/** @param lit windows are lit (dusk, night) */
export function backdrop(seed: number, lit: boolean): string {
  const random = randomOf(seed, 5)
  const parts = [`<rect width="${width}" height="${horizon + 40}" fill="#a9c7e4"/>`]
  for (let i = 0; i < 5; i++)
    parts.push(
      `<ellipse cx="${random.between(0, width)}" cy="${random.between(5, 50)}" rx="${random.between(40, 110)}" ry="${random.between(8, 18)}" fill="#fff" opacity=".55"/>`,
    )
  for (let x = -20; x < width; ) {
    const w = random.between(85, 170)
    const top = random.between(10, 70)
    const color = random.pick(fronts)
    parts.push(
      `<rect x="${x}" y="${top}" width="${w}" height="${240 - top}" fill="${color}"/><rect x="${x}" y="${top}" width="${w}" height="7" fill="#000" opacity=".22"/><rect x="${x + w - 4}" y="${top}" width="4" height="${240 - top}" fill="#000" opacity=".15"/>`,
    )
    const columns = Math.max(2, Math.round(w / 38))
    for (let row = top + 22; row < 165; row += 46) {
      for (let c = 0; c < columns; c++) {
        const wx = x + (w / columns) * (c + 0.5) - 9
        const glass = lit && random() < 0.45 ? '#ffd98a' : random.pick(['#5c6f80', '#6f8494', '#4c5b68'])
        parts.push(`<rect x="${wx}" y="${row}" width="18" height="27" fill="${glass}" stroke="#f1ede4" stroke-width="2.5"/>`)
      }
    }
    const door = x + random.between(12, w - 40)
    parts.push(
      `<rect x="${door}" y="192" width="24" height="48" fill="${random.pick(['#4a3424', '#2f4a3c', '#5b2b28', '#33394a'])}"/>`,
    )
    // Shop windows and posters: things that are no object, so that colour alone does not tell.
    if (random() < 0.6)
      parts.push(
        `<rect x="${x + w * 0.45}" y="196" width="${w * 0.4}" height="34" fill="${random.pick(['#87301f', '#2b4f7a', '#6b6f4f', '#b88a2e', '#963a52'])}"/><rect x="${x + w * 0.48}" y="204" width="${w * 0.34}" height="20" fill="#cfd8dc" opacity=".8"/>`,
      )
    x += w
  }
  parts.push(`<rect y="240" width="${width}" height="${curb - 240 + 14}" fill="#b3aea6"/>`)
  for (let x = 0; x < width; x += 32)
    parts.push(`<path d="M${x} 240L${x - 12} ${curb + 8}" stroke="#8f8a83" stroke-width="1.2"/>`)
  parts.push(
    `<rect y="${curb + 12}" width="${width}" height="7" fill="#dcd8d0"/><rect y="${curb + 19}" width="${width}" height="4" fill="#6d6a66"/>`,
  )
  parts.push(`<rect y="${curb + 22}" width="${width}" height="${height - curb}" fill="#5d6066"/>`)
  for (let i = 0; i < 26; i++)
    parts.push(
      `<ellipse cx="${random.between(0, width)}" cy="${random.between(curb + 30, height)}" rx="${random.between(10, 60)}" ry="${random.between(2, 9)}" fill="${random.pick(['#000', '#fff'])}" opacity=".06"/>`,
    )
  for (let x = -20; x < width; x += 92) parts.push(`<path d="M${x} 346h48l4 8h-54z" fill="#e6e4dc" opacity=".9"/>`)
  // Dark patches of tar and drains: near to a manhole, and none.
  for (let i = 0; i < 3; i++) {
    const [x, y] = [random.between(20, width - 60), random.between(curb + 34, height - 20)]
    parts.push(
      `<rect x="${x}" y="${y}" width="${random.between(30, 80)}" height="${random.between(8, 18)}" rx="3" fill="#46494e"/>`,
    )
  }
  return parts.join('')
}
