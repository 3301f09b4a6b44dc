/** Films, network cameras and video devices through FFmpeg (node-av, low-level API: the high-level one needs a newer Node). */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  AV_PIX_FMT_RGB24,
  AVERROR_EAGAIN,
  AVERROR_EOF,
  AVMEDIA_TYPE_VIDEO,
  type AVPixelFormat,
  SWS_BILINEAR,
} from 'node-av/constants'
import {
  Codec,
  CodecContext,
  Dictionary,
  FFmpegError,
  FormatContext,
  Frame,
  InputFormat,
  Packet,
  SoftwareScaleContext,
} from 'node-av/lib'
import { MuninnError } from '../../protocol/errors.ts'
import type { Picture } from '../../protocol/letterbox.ts'
import { inEnglish, type Said, say } from '../../protocol/sentences.ts'
import { maxPixels } from './folder-source.ts'
import { type Source, type SourceFrame, type SourceOptions, shownSource } from './source.ts'

const isLive = (source: string) => /^(rtsps?|rtmps?|udp|rtp|srt|https?):\/\//i.test(source) || source.startsWith('/dev/')
const connectMicroseconds = 8_000_000

/** @param what says it with the cause that FFmpeg names */
function check(code: number, what: (cause: string) => Said): void {
  if (code < 0) throw new MuninnError('UNAVAILABLE', inEnglish(what(new FFmpegError(code).message)))
}

/** YUV to RGB at the picture's own size; kept as long as the size and format stay. */
class Converter {
  #context: SoftwareScaleContext | null = null
  #key = ''

  convert(frame: Frame): Picture {
    const { width, height } = frame
    if (width * height > maxPixels)
      throw new MuninnError('TOO_LARGE', inEnglish(say('camera.too-large', { width, height, most: maxPixels })))
    const format = frame.format as AVPixelFormat
    const key = `${width} ${height} ${format}`
    if (key !== this.#key || !this.#context) {
      this.dispose()
      this.#context = new SoftwareScaleContext()
      this.#context.getContext(width, height, format, width, height, AV_PIX_FMT_RGB24, SWS_BILINEAR)
      this.#key = key
    }
    const data = Buffer.alloc(width * height * 3)
    const planes = frame.data ?? []
    check(this.#context.scaleSync(planes, frame.linesize.slice(0, planes.length), 0, height, [data], [width * 3]), (cause) =>
      say('camera.not-decoded', { source: 'a frame', cause }),
    )
    return { width, height, data }
  }

  dispose(): void {
    this.#context?.freeContext()
    this.#context = null
  }
}

export async function* videoSource(options: SourceOptions): Source {
  do yield* playOnce(options)
  while (options.loop && !isLive(options.source))
}

async function* playOnce({ source, realTime }: SourceOptions): Source {
  const name = shownSource(source)
  const live = isLive(source)
  const format = new FormatContext()
  const codecContext = new CodecContext()
  const packet = new Packet()
  const frame = new Frame()
  const converter = new Converter()
  packet.alloc()
  frame.alloc()
  try {
    const device = source.startsWith('/dev/') ? InputFormat.findInputFormat('video4linux2') : null
    if (source.startsWith('/dev/') && !device)
      throw new MuninnError('UNAVAILABLE', inEnglish(say('camera.no-device-format', { source: name })))
    const settings =
      live && !device
        ? { rtsp_transport: 'tcp', timeout: String(connectMicroseconds), rw_timeout: String(connectMicroseconds) }
        : {}
    check(await format.openInput(source, device, Dictionary.fromObject(settings)), (cause) =>
      say('camera.not-opened', { source: name, cause }),
    )
    check(await format.findStreamInfo(), (cause) => say('camera.not-read', { source: name, cause }))
    const index = format.findBestStream(AVMEDIA_TYPE_VIDEO)
    const stream = index >= 0 ? format.streams[index] : undefined
    if (!stream) throw new MuninnError('UNAVAILABLE', inEnglish(say('camera.no-picture', { source: name })))
    const codec = Codec.findDecoder(stream.codecpar.codecId)
    if (!codec) throw new MuninnError('UNAVAILABLE', inEnglish(say('camera.no-codec', { source: name })))
    codecContext.allocContext3(codec)
    const notDecoded = (cause: string) => say('camera.not-decoded', { source: name, cause })
    check(codecContext.parametersToContext(stream.codecpar), notDecoded)
    codecContext.threadCount = 1
    check(await codecContext.open2(codec, null), notDecoded)
    const { num, den } = stream.timeBase
    const begun = Date.now()
    let first: number | null = null
    let frames = 0

    const emit = async (): Promise<SourceFrame> => {
      const pts = Number(frame.bestEffortTimestamp)
      const at = Math.max(0, (pts * num * 1000) / den)
      first ??= at
      frames++
      if (!live && realTime) {
        const ahead = begun + at - first - Date.now()
        if (ahead > 0) await sleep(ahead)
      }
      const own = frame.clone()
      if (!own) throw new MuninnError('UNAVAILABLE', `${name}: out of memory for a frame`)
      return {
        capturedAt: live || realTime ? Date.now() : Math.round(begun + at - first),
        picture: () => converter.convert(own),
        dispose: () => own.free(),
      }
    }
    let faults = 0
    for (;;) {
      const read = await format.readFrame(packet)
      if (read === AVERROR_EOF) break
      check(read, (cause) => say('camera.broke-off', { source: name, cause }))
      if (packet.streamIndex === index) {
        // A damaged packet is passed over: the stream goes on at the next key frame.
        const sent = await codecContext.sendPacket(packet)
        faults = sent < 0 && sent !== AVERROR_EAGAIN ? faults + 1 : 0
        if (faults > 200) check(sent, (cause) => say('camera.damaged', { source: name, cause }))
        while ((await codecContext.receiveFrame(frame)) >= 0) {
          yield await emit()
          frame.unref()
        }
      }
      packet.unref()
    }
    await codecContext.sendPacket(null)
    while ((await codecContext.receiveFrame(frame)) >= 0) {
      yield await emit()
      frame.unref()
    }
    if (frames === 0) throw new MuninnError('UNAVAILABLE', inEnglish(say('camera.no-frame', { source: name })))
    if (live) throw new MuninnError('UNAVAILABLE', inEnglish(say('camera.ended', { source: name })))
  } finally {
    converter.dispose()
    frame.free()
    packet.free()
    codecContext.freeContext()
    await format.closeInput()
  }
}
