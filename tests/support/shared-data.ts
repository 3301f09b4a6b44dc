/** The folder with real data beside the project; tests that need it skip, saying what is missing, where it is not. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('../../../../shared/data/', import.meta.url))

export const sharedData = (path: string): string => folder + path

/** For node:test's `skip`: false where all is there. */
export function lacks(...paths: string[]): string | false {
  const missing = paths.filter((path) => !existsSync(sharedData(path)))
  return missing.length > 0 && `../shared/data/${missing.join(', ')} is not there`
}
