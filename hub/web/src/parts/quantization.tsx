/** A run's float file beside its int8 file, and which of the two went to the gate. */
import { Badge, Card, Group, Table, Text } from '@mantine/core'
import { useTranslation } from 'react-i18next'
import type { Run } from '../api.ts'
import { useFormat } from '../format.ts'
import { toldWords } from '../i18n.ts'

type Quantization = NonNullable<NonNullable<Run['report']>['quantization']>

export function QuantizationCard({ quantization: { proposed, reasons, ...files } }: { quantization: Quantization }) {
  const { t } = useTranslation()
  const format = useFormat()
  return (
    <Card withBorder>
      <Group justify="space-between" mb="xs">
        <Text fw={600}>{t('int8 against float')}</Text>
        <Badge color={proposed ? 'teal' : 'gray'} variant="light">
          {proposed ? t('int8 goes out') : t('float goes out')}
        </Badge>
      </Group>
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th />
            <Table.Th>mAP50</Table.Th>
            <Table.Th>mAP50-95</Table.Th>
            <Table.Th>{t('milliseconds, one thread')}</Table.Th>
            <Table.Th>{t('size')}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {(['float', 'int8'] as const).map((name) => (
            <Table.Tr key={name}>
              <Table.Td>{name}</Table.Td>
              <Table.Td>{format.number(files[name].mAP50, 3)}</Table.Td>
              <Table.Td>{format.number(files[name]['mAP50-95'], 3)}</Table.Td>
              <Table.Td>{format.number(files[name].milliseconds, 2)}</Table.Td>
              <Table.Td>{format.bytes(files[name].bytes)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {reasons.map((reason) => (
        <Text key={reason} size="xs" c="dimmed" mt={4}>
          {toldWords(reason)}
        </Text>
      ))}
    </Card>
  )
}
