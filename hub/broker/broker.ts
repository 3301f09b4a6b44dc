/** The MQTT broker as the hub uses it: embedded, or an external one. */

export interface Broker {
  start(): Promise<void>
  stop(): Promise<void>
  /** Settles when the broker has it. An empty retained payload takes the retained message away. */
  publish(topic: string, payload: Uint8Array | string, options: { retain: boolean; qos: 0 | 1 }): Promise<void>
  /** Ends the connection of a device whose password changed or that was removed. */
  disconnect(device: string): Promise<void>
  /** mqtt://host:port; known once started. */
  readonly url: string
  /** Whether messages go out and come in just now. */
  readonly connected: boolean
}

/** Called for each message that a device published under its own topics. Until it settles the message is not acknowledged. */
export type OnMessage = (topic: string, payload: Uint8Array) => Promise<void>
