/** Serves the built page; every path that is no API leads to it, as it has its own routes. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { App } from './app.ts'

/** Compiled, this file is dist/hub/page.js and the page's build lies in dist/hub/web. */
const folder = fileURLToPath(new URL('./web/', import.meta.url))
const notBuilt = `<!doctype html><title>Muninn</title><h1>The page is not built</h1>
<p>Run <code>npm run build</code> in the repository and reload. The API is described at <a href="/docs">/docs</a>.</p>`
/** Everything the page needs is its own; pictures come from the hub or are made in the page. */
const policy = "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"

export async function servePage(app: App): Promise<void> {
  const built = existsSync(join(folder, 'index.html'))
  if (built) await app.register(fastifyStatic, { root: folder, wildcard: false, index: false, maxAge: '1h' })
  app.setNotFoundHandler((request, reply) => {
    const wantsPage =
      request.method === 'GET' &&
      !/^\/(api|docs|metrics|assets)\b/.test(request.url) &&
      !/\.\w+$/.test(request.url.split('?')[0]!)
    if (!wantsPage)
      return reply.status(404).send({ code: 'NOT_FOUND', message: `there is nothing at ${request.method} ${request.url}` })
    reply.headers({ 'content-security-policy': policy, 'x-content-type-options': 'nosniff', 'cache-control': 'no-cache' })
    return built ? reply.sendFile('index.html') : reply.type('text/html').send(notBuilt)
  })
}
