/** The text of an agent.yaml that is ready to use. Pure. JSON strings are YAML strings (YAML 1.2, 1.3), so no writer is needed. */

export interface AgentFacts {
  readonly device: string
  readonly password: string
  readonly mqttUrl: string
  readonly publicKey: string
}

export function agentYaml({ device, password, mqttUrl, publicKey }: AgentFacts): string {
  const quote = (text: string) => JSON.stringify(text)
  return `# Muninn edge agent. Start it with: muninn agent --config agent.yaml
device: ${quote(device)}
hub:
  url: ${quote(mqttUrl)}
  password: ${quote(password)} # shown once; keep this file to yourself
publicKey: ${quote(publicKey)} # models that this key did not sign are refused
dataFolder: ./muninn-agent
cameras:
  # source: rtsp://user:password@camera/stream, a video file, a folder of pictures, /dev/video0
  - id: camera-1
    source: rtsp://camera.local/stream1
`
}

const loopback = /^(localhost|127\.|\[?::1\]?$|0\.0\.0\.0$)/

/** The broker's address as a device can reach it: a hub that listens on every address knows itself as this machine only, so the name by which it was asked stands in. */
export function reachableBroker(mqttUrl: string, hostname: string): string {
  const url = new URL(mqttUrl)
  if (!loopback.test(url.hostname) || hostname === '' || loopback.test(hostname)) return mqttUrl
  return mqttUrl.replace(url.hostname, hostname)
}
