/** Holds the direction of the rooms: who may import whom, read off the import lines. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))
const allowed: Record<string, readonly string[]> = {
  protocol: ['protocol'],
  'edge-agent': ['edge-agent', 'protocol'],
  hub: ['hub', 'protocol'],
  trainer: ['trainer', 'protocol'],
  cli: ['cli', 'protocol', 'edge-agent', 'hub', 'trainer'],
}

function sources(room: string): string[] {
  return readdirSync(join(root, room), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.tsx?$/.test(file) && !file.includes('node_modules'))
    .map((file) => join(root, room, file))
}

describe('rooms', () => {
  for (const [room, others] of Object.entries(allowed)) {
    it(`${room} imports only ${others.join(', ')}`, () => {
      const files = sources(room)
      assert.ok(files.length > 0)
      for (const file of files) {
        for (const [, target] of readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)) {
          const into = relative(root, resolve(file, '..', target!)).split('/')[0]!
          assert.ok(others.includes(into), `${relative(root, file)} imports ${target}: ${room} must not know ${into}`)
        }
      }
    })
  }

  it('protocol does no input or output, so that it runs in a browser', () => {
    for (const file of sources('protocol')) assert.doesNotMatch(readFileSync(file, 'utf8'), /from 'node:/, relative(root, file))
  })

  it('only commands and main files read process.env', () => {
    for (const room of Object.keys(allowed)) {
      for (const file of sources(room)) {
        if (!/\/(commands|cli)\/|\/main\.tsx?$|hub\/web\//.test(file))
          assert.doesNotMatch(readFileSync(file, 'utf8'), /process\.env/, relative(root, file))
      }
    }
  })
})
