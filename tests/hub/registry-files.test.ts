import assert from 'node:assert/strict'
import { createPublicKey, verify } from 'node:crypto'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { checkDeployedForm } from '../../hub/registry/onnx-form.ts'
import { pieceCount, pieces } from '../../hub/registry/pieces.ts'
import { Signer } from '../../hub/registry/signer.ts'
import type { ModelManifest } from '../../protocol/manifest.ts'
import { pieceBytes } from '../../protocol/topics.ts'
import { deployedModel } from '../support/deployed-model.ts'

const manifest: ModelManifest = {
  v: 1,
  name: 'street',
  version: 3,
  file: { sha256: 'a'.repeat(64), bytes: 10 },
  input: { width: 320, height: 320, resize: 'letterbox' },
  classes: ['car'],
  thresholds: { car: 0.4 },
  architecture: 'test',
  createdAt: 1,
  lineage: { base: null, dataset: null, run: null },
  metrics: {},
  selfTest: null,
}

describe('signer', () => {
  it('makes a key once, for the owner only, and signs the exact text with it', (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'muninn-signer-'))
    t.after(() => rmSync(folder, { recursive: true }))
    const path = join(folder, 'keys', 'signing-key.pem')
    const first = new Signer({ path })
    first.start()
    assert.equal(statSync(path).mode & 0o777, 0o600)
    const again = new Signer({ path })
    again.start()
    assert.equal(again.publicKey, first.publicKey)

    const signed = first.sign(manifest)
    const key = createPublicKey({ key: Buffer.from(first.publicKey, 'base64'), type: 'spki', format: 'der' })
    const signature = Buffer.from(signed.signature, 'base64')
    assert.ok(verify(null, Buffer.from(signed.manifest), key, signature))
    assert.ok(!verify(null, Buffer.from(signed.manifest.replace('0.4', '0.5')), key, signature))
  })
})

describe('pieces', () => {
  for (const size of [1, pieceBytes - 1, pieceBytes, pieceBytes + 1, 3 * pieceBytes + 7]) {
    it(`puts a file of ${size} bytes together again`, () => {
      const file = new Uint8Array(size).map((_, index) => index % 251)
      const cut = [...pieces(file)]
      assert.equal(cut.length, pieceCount(size))
      assert.ok(cut.every(({ piece, bytes }, index) => piece === index && bytes.length > 0 && bytes.length <= pieceBytes))
      assert.deepEqual(new Uint8Array(Buffer.concat(cut.map(({ bytes }) => bytes))), file)
    })
  }
})

describe('deployed-model form', () => {
  it('takes a file with the right inputs and outputs', () => {
    checkDeployedForm(deployedModel())
  })

  for (const [what, file, says] of [
    ['text', new TextEncoder().encode('not a model at all'), /not an ONNX file/],
    ['nothing', new Uint8Array(), /not an ONNX file/],
    ['a file that is cut off', deployedModel().subarray(0, 60), /not an ONNX file/],
    ['a float image', deployedModel({ imageType: 1 }), /input 'image' is float32, not uint8/],
    ['a foreign head', deployedModel({ outputs: ['output0'] }), /no output 'boxes'; no output 'scores'/],
  ] as const) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => checkDeployedForm(file),
        (error) => error instanceof Error && 'code' in error && error.code === 'BAD_MODEL' && says.test(error.message),
      )
    })
  }
})
