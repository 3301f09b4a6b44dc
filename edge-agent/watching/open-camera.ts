/** Which kind of camera a source is. */
import { statSync } from 'node:fs'
import type { Logger } from 'pino'
import type { CameraConfig } from '../../protocol/config.ts'
import { MuninnError } from '../../protocol/errors.ts'
import { PictureCamera } from './picture-camera.ts'
import { folderSource, streetSource } from './picture-source.ts'
import type { WatchedCamera } from './watched-camera.ts'

const maxPixels = 50_000_000

export function openCamera(config: CameraConfig, log: Logger): WatchedCamera {
  const { source } = config
  if (source.startsWith('demo://')) return new PictureCamera({ config, log, open: async () => streetSource(source) })
  if (statSync(source, { throwIfNoEntry: false })?.isDirectory()) {
    return new PictureCamera({ config, log, open: () => folderSource(source, maxPixels) })
  }
  throw new MuninnError('INVALID_INPUT', `${source}: there is no decoder for this source yet`)
}
