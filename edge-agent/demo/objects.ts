/** The things of the drawn street, each as SVG in a unit of its own: x to the right, y up from the ground being negative. */
import type { Random } from './random.ts'

export type Kind = 'hydrant' | 'manhole' | 'extinguisher_box' | 'sign' | 'car' | 'person'
export const kinds: readonly Kind[] = ['hydrant', 'manhole', 'extinguisher_box', 'sign', 'car', 'person']

/** A drawing and the box (in the drawing's own pixels) of what counts as the object; a sign's pole does not. */
export interface Drawing {
  readonly svg: string
  readonly box: readonly [number, number, number, number]
}

const shade = (color: readonly [number, number, number], factor: number) =>
  `rgb(${color.map((each) => Math.min(255, Math.round(each * factor))).join(',')})`
const paints: readonly (readonly [number, number, number])[] = [
  [190, 40, 36],
  [36, 78, 150],
  [225, 225, 228],
  [52, 54, 60],
  [150, 155, 160],
  [208, 160, 40],
  [44, 110, 84],
  [120, 60, 48],
]

const shadow = (rx: number, ry: number) => `<ellipse cx="0" cy="0" rx="${rx}" ry="${ry}" fill="#000" opacity=".28"/>`

function hydrant(random: Random): Drawing {
  const color = random.pick([
    [196, 36, 30],
    [214, 168, 30],
    [40, 92, 168],
    [200, 88, 30],
  ] as const)
  const [base, light, dark] = [shade(color, 1), shade(color, 1.3), shade(color, 0.62)]
  const h = random.between(58, 74)
  return {
    svg: `${shadow(24, 6)}<rect x="-15" y="-8" width="30" height="8" rx="2" fill="${dark}"/><rect x="-11" y="${-h * 0.74}" width="22" height="${h * 0.66}" rx="3" fill="${base}"/><rect x="-8" y="${-h * 0.72}" width="5" height="${h * 0.6}" fill="${light}" opacity=".7"/><rect x="-14" y="${-h * 0.78}" width="28" height="6" rx="2" fill="${dark}"/><path d="M-11 ${-h * 0.77} Q0 ${-h * 1.06} 11 ${-h * 0.77}Z" fill="${base}"/><rect x="-3" y="${-h}" width="6" height="7" fill="${dark}"/><circle cx="0" cy="${-h * 0.5}" r="7.5" fill="${dark}"/><circle cx="0" cy="${-h * 0.5}" r="4" fill="${light}"/><rect x="-19" y="${-h * 0.58}" width="9" height="10" rx="2" fill="${dark}"/><rect x="10" y="${-h * 0.58}" width="9" height="10" rx="2" fill="${dark}"/>`,
    box: [-19, -h, 19, 0],
  }
}

function manhole(random: Random): Drawing {
  const rx = random.between(40, 52)
  const ry = rx * random.between(0.33, 0.4)
  const tone = random.between(52, 88)
  const grey = (factor: number) => shade([tone, tone, tone + 4], factor)
  const bars = Array.from({ length: 7 }, (_, i) => {
    const x = (i - 3) * rx * 0.24
    const half = ry * 0.8 * Math.sqrt(Math.max(0, 1 - (x / (rx * 0.92)) ** 2))
    return `<path d="M${x} ${-ry - half}V${-ry + half}" stroke="${grey(0.55)}" stroke-width="3.4"/>`
  }).join('')
  return {
    svg: `<ellipse cx="0" cy="${-ry}" rx="${rx}" ry="${ry}" fill="${grey(0.5)}"/><ellipse cx="0" cy="${-ry}" rx="${rx * 0.92}" ry="${ry * 0.9}" fill="${grey(1.25)}"/>${bars}<ellipse cx="0" cy="${-ry}" rx="${rx * 0.92}" ry="${ry * 0.9}" fill="none" stroke="${grey(1.5)}" stroke-width="2"/>`,
    box: [-rx, -2 * ry, rx, 0],
  }
}

function extinguisherBox(random: Random): Drawing {
  const high = random.between(66, 82)
  const bottom = -random.between(60, 76)
  const top = bottom - high
  const white = random() < 0.25
  const [body, glass] = white ? ['#dfe2e4', '#9fb4bf'] : [shade([206, 34, 30], random.between(0.85, 1.1)), '#e9c9c4']
  return {
    svg: `<rect x="-25" y="${top}" width="50" height="${high}" rx="3" fill="${body}" stroke="#3a0d0b" stroke-opacity=".55" stroke-width="2"/><rect x="-18" y="${top + 8}" width="36" height="${high * 0.5}" fill="${glass}"/><path d="M-5 ${top + 14}h10v5h4v${high * 0.3}h-18v${-high * 0.3}h4z" fill="#b3201b"/><rect x="-18" y="${top + high * 0.7}" width="36" height="${high * 0.16}" fill="#fff"/><path d="M-14 ${top + high * 0.78}h28" stroke="#b3201b" stroke-width="3"/>`,
    box: [-26, top - 1, 26, bottom + 1],
  }
}

function sign(random: Random): Drawing {
  const y = -random.between(128, 158)
  const r = random.between(22, 28)
  const kind = random.pick(['round', 'warning', 'stop', 'blue', 'square'] as const)
  const pole = `${shadow(9, 3)}<rect x="-2.5" y="${y}" width="5" height="${-y}" fill="#8d9298"/>`
  const ring = (fill: string, stroke: string, mark: string) =>
    `<circle cx="0" cy="${y}" r="${r - 3}" fill="${fill}" stroke="${stroke}" stroke-width="6"/>${mark}`
  const marks = {
    round: ring('#fbfbfb', '#c8201c', `<path d="M-8 ${y - 8}h5v16h-5zM2 ${y - 8}h7v16h-7z" fill="#222"/>`),
    warning: `<path d="M0 ${y - r}L${r} ${y + r * 0.8}H${-r}Z" fill="#fbfbfb" stroke="#c8201c" stroke-width="6" stroke-linejoin="round"/><path d="M-2.5 ${y - 7}h5v13h-5zM-2.5 ${y + 9}h5v5h-5z" fill="#222"/>`,
    stop: `<path d="${octagon(y, r)}" fill="#c01f1b" stroke="#fff" stroke-width="3"/><path d="M-13 ${y}h26" stroke="#fff" stroke-width="8"/>`,
    blue: ring(
      '#1d56a8',
      '#e9edf2',
      `<path d="M0 ${y + 12}V${y - 10}M-8 ${y - 3}L0 ${y - 12}L8 ${y - 3}" stroke="#fff" stroke-width="5" fill="none"/>`,
    ),
    square: `<rect x="${-r}" y="${y - r}" width="${2 * r}" height="${2 * r}" rx="4" fill="#1d56a8" stroke="#e9edf2" stroke-width="3"/><path d="M-6 ${y + 13}v-26h9a7 7 0 0 1 0 15h-9" stroke="#fff" stroke-width="5" fill="none"/>`,
  }
  return { svg: pole + marks[kind], box: [-r - 1, y - r - 1, r + 1, y + r + (kind === 'warning' ? -2 : 1)] }
}

function octagon(y: number, r: number): string {
  const points = Array.from({ length: 8 }, (_, i) => {
    const angle = ((i + 0.5) * Math.PI) / 4
    return `${(r * Math.cos(angle) * 1.05).toFixed(1)} ${(y + r * Math.sin(angle) * 1.05).toFixed(1)}`
  })
  return `M${points.join('L')}Z`
}

/** Seen from the side, front to the left; `lit` draws head and tail lights. */
function car(random: Random, lit: boolean): Drawing {
  const color = random.pick(paints)
  const [body, light, dark] = [shade(color, 1), shade(color, 1.25), shade(color, 0.6)]
  const w = random.between(190, 225)
  const h = random.between(62, 82)
  const l = -w / 2
  const roof = random.between(0.26, 0.34)
  const wheel = (x: number) =>
    `<circle cx="${x}" cy="-14" r="16" fill="#18191c"/><circle cx="${x}" cy="-14" r="8" fill="#9aa0a6"/><circle cx="${x}" cy="-14" r="3" fill="#44484d"/>`
  const beam = lit
    ? `<ellipse cx="${l - 34}" cy="-22" rx="62" ry="15" fill="#ffe9b0" opacity=".38"/><circle cx="${l + 4}" cy="${-h * 0.45}" r="9" fill="#fff6d8"/><circle cx="${-l - 4}" cy="${-h * 0.48}" r="6" fill="#ff3b2e"/>`
    : `<circle cx="${l + 6}" cy="${-h * 0.46}" r="5" fill="#eef2f4"/><rect x="${-l - 9}" y="${-h * 0.55}" width="6" height="10" fill="#b3201b"/>`
  return {
    svg: `<ellipse cx="0" cy="-2" rx="${w * 0.52}" ry="9" fill="#000" opacity=".32"/><path d="M${l} -18 Q${l} ${-h * 0.58} ${l + w * 0.14} ${-h * 0.6} L${l + w * roof} ${-h} H${l + w * 0.72} L${l + w * 0.9} ${-h * 0.6} Q${-l} ${-h * 0.56} ${-l} -18Z" fill="${body}"/><path d="M${l + w * 0.19} ${-h * 0.6} L${l + w * (roof + 0.02)} ${-h * 0.93} H${l + w * 0.49} V${-h * 0.6}Z" fill="#26333f"/><path d="M${l + w * 0.52} ${-h * 0.6} V${-h * 0.93} H${l + w * 0.7} L${l + w * 0.84} ${-h * 0.6}Z" fill="#26333f"/><path d="M${l + w * 0.1} ${-h * 0.56}H${-l - 6}" stroke="${light}" stroke-width="3" opacity=".8"/><rect x="${l + 2}" y="-24" width="${w - 4}" height="9" fill="${dark}"/>${wheel(l + w * 0.21)}${wheel(l + w * 0.79)}${beam}`,
    box: [l, -h, -l, 2],
  }
}

function person(random: Random, step: number): Drawing {
  const skin = random.pick(['#e8b996', '#c98f68', '#8a5a3b', '#f0cdb0'])
  const coat = shade(random.pick(paints), random.between(0.8, 1.1))
  const legs = random.pick(['#2b3042', '#3b3a36', '#5a5048', '#24262b'])
  const h = random.between(118, 138)
  const swing = Math.sin(step) * 13
  const umbrella = random() < 0.12
  return {
    svg: `${shadow(22, 6)}<path d="M-3 ${-h * 0.48}L${-swing - 4} -2M3 ${-h * 0.48}L${swing + 4} -2" stroke="${legs}" stroke-width="11" stroke-linecap="round"/><path d="M-13 ${-h * 0.8}Q0 ${-h * 0.87} 13 ${-h * 0.8}L15 ${-h * 0.42}H-15Z" fill="${coat}"/><path d="M-12 ${-h * 0.76}L${-15 - swing * 0.4} ${-h * 0.46}M12 ${-h * 0.76}L${15 - swing * 0.4} ${-h * 0.46}" stroke="${coat}" stroke-width="8" stroke-linecap="round"/><circle cx="0" cy="${-h * 0.92}" r="${h * 0.075}" fill="${skin}"/><path d="M${-h * 0.075} ${-h * 0.93}a${h * 0.075} ${h * 0.075} 0 0 1 ${h * 0.15} 0z" fill="#2a211c"/>${umbrella ? `<path d="M-38 ${-h * 1.02}Q0 ${-h * 1.36} 38 ${-h * 1.02}Z" fill="${coat}"/><path d="M0 ${-h * 1.05}V${-h * 0.6}" stroke="#333" stroke-width="3"/>` : ''}`,
    box: umbrella ? [-38, -h * 1.2, 38, 0] : [-22, -h, 22, 0],
  }
}

/** @param phase of a person's step, radians @param lit lights on */
export function draw(kind: Kind, random: Random, { phase, lit }: { phase: number; lit: boolean }): Drawing {
  switch (kind) {
    case 'hydrant':
      return hydrant(random)
    case 'manhole':
      return manhole(random)
    case 'extinguisher_box':
      return extinguisherBox(random)
    case 'sign':
      return sign(random)
    case 'car':
      return car(random, lit)
    case 'person':
      return person(random, phase)
  }
}
