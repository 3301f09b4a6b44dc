/** The drawing surface: picture and boxes on a canvas, pointer and wheel turned into image coordinates. */
import { useCallback, useEffect, useLayoutEffect, useRef, useState, useSyncExternalStore } from 'react'
import { imageOf } from '../api.ts'
import {
  type Box,
  boxFrom,
  fitted,
  type Grip,
  gripAt,
  isBigEnough,
  moved,
  type Point,
  resized,
  toImage,
  topmostAt,
  type View,
  zoomedAt,
} from './geometry.ts'
import type { LabelStore, UndoStack } from './label-store.ts'

export interface CanvasProps {
  readonly store: LabelStore
  readonly undo: UndoStack
  readonly sample: string
  readonly width: number
  readonly height: number
  readonly colorOf: (label: string) => string
  readonly label: string
  readonly hidden: boolean
  readonly brightness: number
  /** A new box in image coordinates, big enough to be meant. */
  readonly onDrawn: (box: Box) => void
}

type Gesture =
  | { readonly kind: 'draw'; readonly from: Point }
  | {
      readonly kind: 'edit'
      readonly id: number
      readonly grip: Grip
      readonly from: Point
      readonly box: Box
    }
  | { readonly kind: 'pan'; readonly from: Point; readonly view: View }

/** How near to a side counts as taking hold of it, in screen pixels. */
const reach = 7
const cursors: Readonly<Record<Grip, string>> = {
  move: 'move',
  n: 'ns-resize',
  s: 'ns-resize',
  e: 'ew-resize',
  w: 'ew-resize',
  ne: 'nesw-resize',
  sw: 'nesw-resize',
  nw: 'nwse-resize',
  se: 'nwse-resize',
}

export function LabelCanvas({ store, undo, sample, width, height, colorOf, label, hidden, brightness, onDrawn }: CanvasProps) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const room = useRef<HTMLDivElement>(null)
  const [size, setSize] = useState({ width: 0, height: 0 })
  const [view, setView] = useState<View | null>(null)
  const [image, setImage] = useState<HTMLImageElement | null>(null)
  const [pointer, setPointer] = useState<Point | null>(null)
  const [draft, setDraft] = useState<Box | null>(null)
  const [space, setSpace] = useState(false)
  const gesture = useRef<Gesture | null>(null)
  const state = useSyncExternalStore(store.subscribe, store.snapshot)

  // Before it is seen: a box drawn at once must not be measured in a room of no size.
  useLayoutEffect(() => {
    const element = room.current!
    const measure = () => setSize({ width: element.clientWidth, height: element.clientHeight })
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  // biome-ignore lint/correctness/useExhaustiveDependencies: another picture or room shows the whole picture again
  useEffect(() => setView(null), [sample, size.width, size.height])
  useEffect(() => {
    const next = new Image()
    let current = true
    next.onload = () => current && setImage(next)
    next.src = imageOf(sample)
    setImage(null)
    return () => {
      current = false
    }
  }, [sample])
  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      if (event.code === 'KeyF' && !event.ctrlKey && !event.metaKey && !(event.target instanceof HTMLInputElement)) setView(null)
      if (event.altKey !== undefined) setSpace(event.altKey)
    }
    addEventListener('keydown', key)
    addEventListener('keyup', key)
    return () => {
      removeEventListener('keydown', key)
      removeEventListener('keyup', key)
    }
  }, [])

  const shown = view ?? fitted({ width, height }, size)

  // biome-ignore lint/correctness/useExhaustiveDependencies: drawn again whenever anything that is seen changed
  useEffect(() => {
    const element = canvas.current!
    const ratio = devicePixelRatio
    element.width = Math.round(size.width * ratio)
    element.height = Math.round(size.height * ratio)
    const context = element.getContext('2d')!
    context.setTransform(ratio, 0, 0, ratio, 0, 0)
    context.clearRect(0, 0, size.width, size.height)
    const at = (x: number, y: number) => [x * shown.scale + shown.x, y * shown.scale + shown.y] as const
    if (image) {
      context.filter = brightness === 1 ? 'none' : `brightness(${brightness})`
      context.imageSmoothingEnabled = shown.scale < 3
      context.drawImage(image, shown.x, shown.y, width * shown.scale, height * shown.scale)
      context.filter = 'none'
    }
    if (!hidden) {
      for (const { id, box, label: name, score } of state.boxes) {
        const selected = id === state.selected
        const color = colorOf(name)
        const [x1, y1] = at(box[0], box[1])
        const [x2, y2] = at(box[2], box[3])
        if (selected) {
          context.fillStyle = `${color}33`
          context.fillRect(x1, y1, x2 - x1, y2 - y1)
        }
        context.lineWidth = selected ? 3 : 2
        context.strokeStyle = '#000a'
        context.strokeRect(x1 - 1, y1 - 1, x2 - x1 + 2, y2 - y1 + 2)
        context.strokeStyle = color
        context.strokeRect(x1, y1, x2 - x1, y2 - y1)
        context.font = '600 12px system-ui, sans-serif'
        const text = score === null ? name : `${name} ${score.toFixed(2)}`
        const wide = context.measureText(text).width + 8
        const top = y1 < 18 ? y1 : y1 - 17
        // A box at the right edge has its name to the left, where it can be read.
        const left = Math.max(0, Math.min(x1 - 1, size.width - wide))
        context.fillStyle = color
        context.fillRect(left, top, wide, 17)
        context.fillStyle = '#fff'
        context.fillText(text, left + 4, top + 12.5)
        if (selected) {
          context.fillStyle = '#fff'
          for (const hx of [x1, (x1 + x2) / 2, x2]) {
            for (const hy of [y1, (y1 + y2) / 2, y2]) {
              if (hx === (x1 + x2) / 2 && hy === (y1 + y2) / 2) continue
              context.fillRect(hx - 3.5, hy - 3.5, 7, 7)
              context.strokeRect(hx - 3.5, hy - 3.5, 7, 7)
            }
          }
        }
      }
    }
    if (draft) {
      const [x1, y1] = at(draft[0], draft[1])
      const [x2, y2] = at(draft[2], draft[3])
      context.strokeStyle = colorOf(label)
      context.lineWidth = 2
      context.setLineDash([6, 4])
      context.strokeRect(x1, y1, x2 - x1, y2 - y1)
      context.setLineDash([])
    }
    if (pointer && !draft && gesture.current?.kind !== 'pan') {
      context.strokeStyle = '#ffffff70'
      context.lineWidth = 1
      context.beginPath()
      context.moveTo(pointer.x + 0.5, 0)
      context.lineTo(pointer.x + 0.5, size.height)
      context.moveTo(0, pointer.y + 0.5)
      context.lineTo(size.width, pointer.y + 0.5)
      context.stroke()
    }
  }, [size, shown.scale, shown.x, shown.y, image, state, hidden, draft, pointer, brightness, label, colorOf])

  const pointOf = (event: { clientX: number; clientY: number }): Point => {
    const { left, top } = canvas.current!.getBoundingClientRect()
    return { x: event.clientX - left, y: event.clientY - top }
  }

  const down = (event: React.PointerEvent) => {
    const screen = pointOf(event)
    const point = toImage(shown, screen)
    canvas.current!.setPointerCapture(event.pointerId)
    if (event.button !== 0 || space) {
      gesture.current = { kind: 'pan', from: screen, view: shown }
      return
    }
    const near = reach / shown.scale
    const chosen = store.selected
    const held = hidden ? null : chosen && gripAt(chosen.box, point, near)
    const hit = hidden ? -1 : topmostAt(state.boxes, point, near)
    const target = held && chosen ? chosen : hit >= 0 ? state.boxes[hit] : undefined
    if (target && !event.shiftKey) {
      store.select(target.id)
      undo.begin()
      gesture.current = {
        kind: 'edit',
        id: target.id,
        grip: gripAt(target.box, point, near) ?? 'move',
        from: point,
        box: target.box,
      }
      return
    }
    store.select(null)
    gesture.current = { kind: 'draw', from: point }
  }

  const move = (event: React.PointerEvent) => {
    const screen = pointOf(event)
    const point = toImage(shown, screen)
    setPointer(screen)
    const now = gesture.current
    if (!now) {
      const near = reach / shown.scale
      const chosen = store.selected
      const grip =
        hidden || event.shiftKey
          ? null
          : ((chosen && gripAt(chosen.box, point, near)) ?? (topmostAt(state.boxes, point, near) >= 0 ? 'move' : null))
      canvas.current!.style.cursor = space ? 'grab' : grip ? cursors[grip] : 'crosshair'
      return
    }
    if (now.kind === 'pan') setView({ ...now.view, x: now.view.x + screen.x - now.from.x, y: now.view.y + screen.y - now.from.y })
    else if (now.kind === 'draw') setDraft(boxFrom(now.from, point, { width, height }))
    else {
      const picture = { width, height }
      const box =
        now.grip === 'move'
          ? moved(now.box, point.x - now.from.x, point.y - now.from.y, picture)
          : resized(now.box, now.grip, point, picture)
      if (Math.hypot(point.x - now.from.x, point.y - now.from.y) * shown.scale > 2) store.change(now.id, { box })
    }
  }

  const up = (event: React.PointerEvent) => {
    const now = gesture.current
    end()
    // From the event, not from what was last drawn: a quick hand lets go before the page has drawn where it went.
    const box = now?.kind === 'draw' && boxFrom(now.from, toImage(shown, pointOf(event)), { width, height })
    if (box && isBigEnough(box)) onDrawn(box)
  }

  const end = () => {
    if (gesture.current?.kind === 'edit') undo.end()
    gesture.current = null
    setDraft(null)
  }

  const wheel = useCallback(
    (event: WheelEvent) => {
      event.preventDefault()
      const { left, top } = canvas.current!.getBoundingClientRect()
      const least = fitted({ width, height }, size).scale * 0.5
      setView((before) =>
        zoomedAt(
          before ?? fitted({ width, height }, size),
          { x: event.clientX - left, y: event.clientY - top },
          Math.exp(-event.deltaY * 0.0015),
          least,
        ),
      )
    },
    [width, height, size],
  )
  useEffect(() => {
    const element = canvas.current!
    // React's own wheel listener is passive: the page would scroll as well.
    element.addEventListener('wheel', wheel, { passive: false })
    return () => element.removeEventListener('wheel', wheel)
  }, [wheel])

  return (
    <div ref={room} style={{ position: 'absolute', inset: 0, background: '#0d0f13', overflow: 'hidden' }}>
      <canvas
        ref={canvas}
        data-testid="canvas"
        data-view={`${shown.scale},${shown.x},${shown.y}`}
        style={{ width: '100%', height: '100%', display: 'block', touchAction: 'none', cursor: 'crosshair' }}
        onPointerDown={down}
        onPointerMove={move}
        onPointerUp={up}
        onPointerCancel={end}
        onPointerLeave={() => setPointer(null)}
        onContextMenu={(event) => event.preventDefault()}
      />
    </div>
  )
}
