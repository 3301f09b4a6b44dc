/** English is written where it stands, in the plural; here is what it is for one of a kind (i18next plurals: key + `_one`). */
export const english: Readonly<Record<string, string>> = {
  '{{count}} boxes_one': '{{count}} box',
  '{{count}} classes_one': '{{count}} class',
  '{{count}} devices_one': '{{count}} device',
  '{{count}} frames_one': '{{count}} frame',
  '{{count}} trainers_one': '{{count}} trainer',
  '{{done}} of {{count}} devices run it for good_one': '{{done}} of {{count}} device runs it for good',
  '{{online}} of {{count}} devices online_one': '{{online}} of {{count}} device online',
  'Left empty, the hub chooses {{count}}. The others follow when these have proved it._one':
    'Left empty, the hub chooses {{count}}. The others follow when it has proved it.',
  'On {{count}} held-out pictures, with 95 % intervals_one': 'On {{count}} held-out picture, with 95 % intervals',
}
