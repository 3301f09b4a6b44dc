/** A device as people see it: what it last said, read back from its row. */
import type { Device } from '../../protocol/http/fleet.ts'
import { parseJson } from '../../protocol/parse.ts'
import { Deployment, Status, Telemetry } from '../../protocol/topics.ts'
import type { DeviceRow } from './device-repository.ts'

const statusOf = ({ status }: DeviceRow): Status | null => (status === null ? null : parseJson(Status, status, 'stored status'))
export const deploymentOf = ({ deployment }: Pick<DeviceRow, 'deployment'>): Deployment | null =>
  deployment === null ? null : parseJson(Deployment, deployment, 'stored deployment')

export function viewDevice(row: DeviceRow, samples: number): Device {
  return {
    id: row.id,
    name: row.name,
    site: row.site,
    createdAt: row.created_at,
    online: row.online,
    lastSeen: row.last_seen,
    clockSkew: row.clock_skew,
    status: statusOf(row),
    telemetry: row.telemetry === null ? null : parseJson(Telemetry, row.telemetry, 'stored telemetry'),
    deployment: deploymentOf(row),
    desired: row.desired_model,
    samples,
  }
}
