/** The process of one camera: reads its source, keeps the last frames, and gives the latest when asked. A broken stream can kill only this. */
import { setTimeout as sleep } from 'node:timers/promises'
import sharp from 'sharp'
import { fitPicture, type Picture } from '../../protocol/letterbox.ts'
import type { ModelInput } from '../../protocol/manifest.ts'
import { inEnglish, say } from '../../protocol/sentences.ts'
import type { Thumbnail } from '../mining/observation.ts'
import type { FromDecoder, ToDecoder } from './decoder-messages.ts'
import { motionBetween, thumbnailOf } from './motion.ts'
import { openSource } from './open-source.ts'
import type { SourceFrame, SourceOptions } from './source.ts'

/** Full-size frames kept for a JPEG that is asked for after the model has looked. */
const ringFrames = 8
const ringBytes = 96 * 1024 * 1024
const firstDelay = 1000
const longestDelay = 30_000

const send = (message: FromDecoder) => process.send?.(message)

let input: ModelInput | null = null
let latest: SourceFrame | null = null
let wanted = false
let ended = false
let nextId = 0
let before: Thumbnail | null = null
let size = { width: 0, height: 0 }
let taken: (() => void) | null = null
const ring = new Map<number, Picture>()

function keep(id: number, picture: Picture): void {
  ring.set(id, picture)
  let bytes = [...ring.values()].reduce((sum, { data }) => sum + data.byteLength, 0)
  for (const [oldest, { data }] of ring) {
    if (ring.size <= ringFrames && bytes <= ringBytes) break
    if (oldest === id) break
    ring.delete(oldest)
    bytes -= data.byteLength
  }
}

/** Hands the latest frame over, if one is wanted and there. */
async function give(): Promise<void> {
  if (!wanted) return
  if (!latest) {
    if (ended) {
      wanted = false
      send({ kind: 'frame', frame: null })
    }
    return
  }
  wanted = false
  const frame = latest
  latest = null
  taken?.()
  try {
    const picture = await frame.picture()
    const id = nextId++
    keep(id, picture)
    if (picture.width !== size.width || picture.height !== size.height) {
      size = { width: picture.width, height: picture.height }
      before = null
      send({ kind: 'status', state: 'live', ...size })
    }
    const thumbnail = thumbnailOf(picture)
    const motion = before ? motionBetween(before, thumbnail) : 0
    before = thumbnail
    const fitted = input ? fitPicture(picture, input) : { tensor: new Uint8Array(0), fit: { scaleX: 1, scaleY: 1 } }
    send({
      kind: 'frame',
      frame: {
        id,
        capturedAt: frame.capturedAt,
        ...size,
        tensor: fitted.tensor,
        scale: { x: fitted.fit.scaleX, y: fitted.fit.scaleY },
        motion,
        thumbnail,
        ...(frame.truth && { truth: frame.truth }),
      },
    })
  } finally {
    frame.dispose()
  }
}

/** Reads until the end of the source; latest frame wins, or, for a film that is not to be played in its own time, each waits to be taken. */
async function read(options: SourceOptions): Promise<void> {
  const source = await openSource(options, (words) => send({ kind: 'status', state: 'live', cause: words, ...size }))
  let lastGiven = 0
  let first = true
  for await (const frame of source) {
    if (first) {
      first = false
      send({ kind: 'status', state: 'live', ...size })
    }
    if (options.realTime && options.framesPerSecond > 0 && frame.capturedAt - lastGiven < 900 / options.framesPerSecond) {
      frame.dispose()
      continue
    }
    lastGiven = frame.capturedAt
    latest?.dispose()
    latest = frame
    const gone = options.realTime ? null : new Promise<void>((resolve) => (taken = resolve))
    await give()
    // Null after `give` when it was handed over at once.
    if (gone && latest) await gone
  }
}

async function run(options: SourceOptions): Promise<void> {
  let delay = firstDelay
  for (;;) {
    send({ kind: 'status', state: 'connecting', ...size })
    const begun = Date.now()
    try {
      await read(options)
      ended = true
      send({ kind: 'status', state: 'ended', ...size })
      await give()
      return
    } catch (error) {
      if (Date.now() - begun > longestDelay) delay = firstDelay
      // Jitter, so that a hundred cameras behind one broken switch do not come back in one moment.
      const wait = delay * (0.75 + Math.random() * 0.5)
      const cause = error instanceof Error ? error.message : String(error)
      const again = say('camera.again', { cause, seconds: Math.round(wait / 1000) })
      send({ kind: 'status', state: 'lost', cause: inEnglish(again), ...size })
      await sleep(wait)
      delay = Math.min(delay * 2, longestDelay)
    }
  }
}

async function jpeg({ request, frame, quality, maxWidth }: Extract<ToDecoder, { kind: 'jpeg' }>): Promise<void> {
  const picture = ring.get(frame)
  if (!picture) {
    send({ kind: 'gone', request, cause: 'the frame has left the ring of the last ones' })
    return
  }
  let image = sharp(picture.data, { raw: { width: picture.width, height: picture.height, channels: 3 } })
  if (maxWidth && picture.width > maxWidth) image = image.resize({ width: maxWidth })
  const { data, info } = await image.jpeg({ quality }).toBuffer({ resolveWithObject: true })
  send({ kind: 'jpeg', request, jpeg: data, width: info.width, height: info.height })
}

const failed = (error: unknown) => {
  console.error(error)
  process.exit(1)
}

process.on('message', (message: ToDecoder) => {
  switch (message.kind) {
    case 'open':
      run(message.options).catch(failed)
      break
    case 'input':
      input = message.input
      break
    case 'next':
      wanted = true
      give().catch(failed)
      break
    case 'jpeg':
      jpeg(message).catch((error: unknown) => send({ kind: 'gone', request: message.request, cause: String(error) }))
      break
  }
})
// The agent stops its cameras itself; Ctrl-C in a terminal reaches this process, too.
process.on('SIGINT', () => {})
process.on('disconnect', () => process.exit(0))
