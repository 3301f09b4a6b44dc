/** Picks the reader for a camera's source. */
import { existsSync, statSync } from 'node:fs'
import { MuninnError } from '../../protocol/errors.ts'
import { inEnglish, say } from '../../protocol/sentences.ts'
import { folderSource } from './folder-source.ts'
import { type Source, type SourceOptions, shownSource } from './source.ts'
import { streetSource } from './street-source.ts'

/** @param tell hears of single pictures that are passed over @throws MuninnError when there is no such file, folder or device */
export async function openSource(options: SourceOptions, tell: (words: string) => void): Promise<Source> {
  const { source } = options
  if (source.startsWith('demo://')) return streetSource(options)
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(source)) {
    if (!existsSync(source)) throw new MuninnError('NOT_FOUND', inEnglish(say('camera.missing', { source: shownSource(source) })))
    if (statSync(source).isDirectory()) return folderSource(options, tell)
  }
  // Loaded only where it is needed: a demo or a folder does without FFmpeg.
  const { videoSource } = await import('./video-source.ts')
  return videoSource(options)
}
