/** The lease that a trainer works on, on disk: started again, it shows it and goes on at once instead of waiting until it has run out. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Static, Type } from 'typebox'
import { parseJson } from '../../protocol/parse.ts'

const Held = Type.Object(
  { run: Type.Integer(), lease: Type.String({ minLength: 1, maxLength: 64 }) },
  { additionalProperties: false },
)
export type Held = Static<typeof Held>

export class HeldLease {
  readonly #folder: string

  constructor({ folder }: { folder: string }) {
    this.#folder = folder
  }

  get #path(): string {
    return join(this.#folder, 'lease.json')
  }

  /** null where there is none, or none that can be read: the hub then waits until it has run out. */
  read(): Held | null {
    try {
      return parseJson(Held, readFileSync(this.#path, 'utf8'), this.#path)
    } catch {
      return null
    }
  }

  /** For its owner only: whoever has it can hand in the run's model. */
  write(held: Held): void {
    mkdirSync(this.#folder, { recursive: true })
    const aside = `${this.#path}.tmp`
    writeFileSync(aside, JSON.stringify(held), { mode: 0o600 })
    renameSync(aside, this.#path)
  }

  forget(): void {
    rmSync(this.#path, { force: true })
  }
}
