/** Tells a graphics card from a driver that only poses as one: onnxruntime does not say which adapter WebGPU took. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

export interface GraphicsCard {
  readonly name: string
  readonly software: boolean
}

/** Vulkan drivers that draw on the processor. */
const drawsItself: Readonly<Record<string, string>> = {
  libvk_swiftshader: 'SwiftShader',
  libvulkan_lvp: 'llvmpipe',
}
const hardware = /^\/dev\/(dri\/|nvidia|dxg|kfd|mali|kgsl)/

/** Pure: from the files that a process has open and has loaded. */
export function cardFrom({ open, loaded }: { open: readonly string[]; loaded: readonly string[] }): GraphicsCard {
  const node = open.find((path) => hardware.test(path))
  // Only the kernel's device node leads to a card; every installed driver is loaded, whether it found one or not.
  if (node) return { name: node, software: false }
  const driver = Object.keys(drawsItself).find((name) => loaded.some((path) => path.includes(name)))
  return { name: driver ? `${drawsItself[driver]}, in software` : 'in software', software: true }
}

/** The card that this process uses, once WebGPU runs in it. */
export function graphicsCard(): GraphicsCard {
  // Metal has no software device, and Direct3D's is left to the measurement.
  if (process.platform !== 'linux') return { name: process.platform === 'darwin' ? 'Metal' : 'Direct3D 12', software: false }
  const open = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      // The descriptor of this very listing is gone again.
      return []
    }
  })
  const loaded = readFileSync('/proc/self/maps', 'utf8').split('\n')
  return cardFrom({ open, loaded })
}
