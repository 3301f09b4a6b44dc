/**
 * Every sentence that the hub makes for people. It travels as key and values, so that a page says it in its reader's language; here is
 * what it is in English, for programs and logs. `{{name}}` is a value; a key + `_one` is the form for a `count` of 1 (as in i18next).
 */
import { type Static, Type } from 'typebox'

export const sentences = {
  /** Words that came from outside: a person's reason, what a device or a trainer told. */
  quote: '{{text}}',

  'round.mining': 'Waiting for hard frames from the cameras.',
  'round.needs-labels': 'Needs {{count}} more labels to train on.',
  'round.needs-labels_one': 'Needs {{count}} more label to train on.',
  'round.needs-held-out': 'Needs {{count}} more labels on held-out pictures to judge by.',
  'round.needs-held-out_one': 'Needs {{count}} more label on held-out pictures to judge by.',
  'round.by-hand': 'There are enough labels; training is started by hand (automatic training is off).',
  'round.no-trainer': 'Waiting for a trainer.',
  'round.evaluating': 'Challenger and champion look at the held-out pictures.',
  'round.failed': 'Training failed:',
  'round.cancelled': 'Training was cancelled.',
  'round.held-back': 'The gate held it back:',
  'round.passed': 'The challenger passed the gate; a manager may deploy it.',
  'round.paused': 'Paused:',
  'round.rolled-back': 'Rolled back:',
  'round.overtaken': 'Another run was started instead of deploying its model.',

  'gate.other-file': 'The report is about file {{about}}, not about {{file}}, which would be deployed.',
  'gate.enough-pictures': 'Judged on {{count}} held-out pictures (at least {{minimum}} are asked for).',
  'gate.enough-pictures_one': 'Judged on {{count}} held-out picture (at least {{minimum}} is asked for).',
  'gate.few-pictures':
    'Only {{count}} held-out pictures; at least {{minimum}} are needed to judge. Label more audit and held-out samples.',
  'gate.few-pictures_one':
    'Only {{count}} held-out picture; at least {{minimum}} are needed to judge. Label more audit and held-out samples.',
  'gate.first-model': 'First model: mAP50 is {{value}} (at least {{minimum}} is asked for); there is no champion to beat.',
  'gate.first-weak':
    'First model: mAP50 on the held-out pictures is {{value}}, but at least {{minimum}} is asked for. Label more, or let it train longer.',
  'gate.no-comparison': 'The champion was not evaluated on the same held-out pictures, so there is nothing to compare with.',
  'gate.former-champion': 'It was compared with {{former}}, but {{champion}} has become champion in the meantime. Train again.',
  'gate.gain': 'mAP50 {{before}} → {{after}} ({{gain}}), at least {{minimum}} is asked for.',
  'gate.little-gain': 'mAP50 {{before}} → {{after}} ({{gain}}), but at least {{minimum}} is asked for.',
  'gate.interval': 'The paired 95 % interval of the gain is {{low}} to {{high}}; its low end is above {{limit}}.',
  'gate.chance':
    'The paired 95 % interval of the gain is {{low}} to {{high}}; its low end must be above {{limit}}: the gain may be chance.',
  'gate.class-loss': 'Class “{{label}}” loses {{loss}} AP50 (at most {{limit}} is allowed).',
  'gate.class-unjudged': 'Class “{{label}}” loses {{loss}} AP50, but with only {{count}} true boxes that is not judged.',
  'gate.class-unjudged_one': 'Class “{{label}}” loses {{loss}} AP50, but with only {{count}} true box that is not judged.',
  'gate.yes': 'The gate says yes.',
  'gate.no': 'The gate says no.',

  'rollout.refused': '{{device}} refused:',
  'rollout.device-rolled-back': '{{device}} rolled back:',
  'rollout.no-reason': 'No reason was given.',
  'rollout.waiting-asked': 'Waiting for an answer of {{devices}}.',
  'rollout.waiting-fetching': 'Waiting while the file is fetched: {{devices}}.',
  'rollout.waiting-verifying': 'Waiting while the file is verified: {{devices}}.',
  'rollout.waiting-self-test': 'Waiting for the self-test: {{devices}}.',
  'rollout.waiting-probation': 'Waiting for the end of probation: {{devices}}.',
  'rollout.waiting-offline': 'Waiting for devices that are offline: {{devices}}.',
  'rollout.no-device': 'There is no device yet; each one that is added starts with it.',
  'rollout.away': 'Offline, and will change over on coming back: {{devices}}.',
  'rollout.all': 'Every device confirmed it.',
  'rollout.replaced': 'Replaced by a rollout of another model.',
  'rollout.by': '({{name}})',

  'run.restarted': 'Trainer {{trainer}} was started again.',
  'run.silent': 'Trainer {{trainer}} went silent.',
  'run.given-up': 'Given up after {{count}} attempts.',
  'run.given-up_one': 'Given up after {{count}} attempt.',
  'run.waits-again': 'The run waits for a trainer again.',
  'run.cancelled': 'Cancelled by {{name}}.',
  'run.attempt': 'Attempt {{number}} by {{trainer}} ({{device}}).',
  'run.resumed': 'Going on from step {{step}}.',

  'error.link-used': 'This link was used already or is of an earlier start; the hub prints a new one when it starts.',
  'error.wrong-password': 'Wrong name or password.',
  'error.sign-in': 'Sign in first.',
  'error.session-over': 'Your session has ended; sign in again.',
  'error.needs-role': 'This needs the role {{needed}}; {{name}} is {{role}}.',
  'error.user-exists': 'There is a user {{name}} already.',
  'error.last-admin': '{{name}} is the last admin; make someone else admin first.',
  'error.device-exists': 'There is a device {{id}} already; choose another name or give it a new password.',
  'error.no-device': 'There is no device {{id}}.',
  'error.too-many-tries': 'Too many tries in a short time; wait and try again.',
  'error.picture-taken': '{{name}} works on this picture just now.',
  'error.picture-decided': 'This picture is decided already; open it again first.',
  'error.task-changed': 'Task {{id}} was changed in the meantime; nothing was overwritten.',
  'error.lease-over': 'Task {{id}} is not leased to {{name}} any more.',
  'error.no-class': 'There is no class “{{label}}” (annotations/{{index}}); add it in Settings first.',
  'error.empty-box': 'The box is empty or outside of the picture (annotations/{{index}}).',
  'error.class-twice': 'The class “{{label}}” stands there twice.',
  'error.band-upside-down': 'Doubtful scores: `from` is above `to` (mining.lowConfidence).',
  'error.nothing-labelled': 'No picture is labelled yet; accept some on the Label page first.',
  'error.teacher-without-pictures':
    'A teacher labels pictures of the queue: say from how many of them to learn, or choose no teacher (Settings, training recipe).',
  'error.no-teacher': 'The teacher is no model of this hub; choose another one in Settings.',
  'error.all-held-out': 'Dataset {{id}} has no pictures to train on: all are held out.',
  'error.run-open': 'Run {{id}} is not over yet; cancel it or wait for its end.',
  'error.run-over': 'Run {{id}} is over already.',
  'error.rollout-open': 'Rollout {{id}} is under way; finish it, pause it or roll it back first.',
  'error.rollout-rolled-back': 'Rollout {{id}} is rolled back already.',
  'error.rollout-not-latest': 'Rollout {{id}} is not the latest one; roll the model out that should run instead.',
  'error.nothing-before': 'There was no model before this one to go back to.',
  'error.rollout-not-running': 'Rollout {{id}} is not running.',
  'error.rollout-not-paused': 'Rollout {{id}} is not paused.',
  'error.champion-already': '{{model}} is the champion already.',
  'error.never-gated': '{{model}} was never at the gate.',
  'error.gate-failed': '{{model}} did not pass the gate.',
  'error.give-reason': 'To send it out all the same, give a reason (override).',
  'error.champion-exists': 'There is a champion already; bring the model in without `champion` and roll it out.',
  'error.no-onnx': 'This is not an ONNX file, or it is cut off.',
  'error.disk-full':
    'The disk of the hub is full: nothing is lost, devices keep what they have; make room and it goes on by itself.',
  'error.broker-away': 'The broker is not connected.',

  // What devices and trainers tell travels as English text, which older hubs and logs read as well; a page knows the sentence again.
  'camera.again': '{{cause}}; tried again in {{seconds}} s',
  'camera.decoder-stopped': 'its decoder stopped ({{how}}); started again in {{seconds}} s',
  'camera.missing': '{{source}}: there is no such file, folder or device',
  'camera.not-opened': '{{source}} cannot be opened: {{cause}}',
  'camera.not-read': '{{source}} is no film that can be read: {{cause}}',
  'camera.not-decoded': '{{source}} cannot be decoded: {{cause}}',
  'camera.broke-off': '{{source}} broke off: {{cause}}',
  'camera.damaged': '{{source}} is damaged: {{cause}}',
  'camera.passed-over': '{{source}} cannot be decoded and is passed over: {{cause}}',
  'camera.no-picture': '{{source}} has no picture, only other streams',
  'camera.no-codec': '{{source}} is coded in a way that FFmpeg cannot decode here',
  'camera.no-frame': '{{source}} has not a single picture that can be decoded',
  'camera.ended': '{{source}} ended the connection',
  'camera.no-device-format': '{{source}}: this build of FFmpeg has no Video4Linux',
  'camera.empty-folder': '{{source}} holds no picture (jpg, png, webp, bmp, tiff or avif)',
  'camera.broken-folder': 'none of the {{count}} pictures in {{source}} can be decoded',
  'camera.too-large': 'the film has {{width}} x {{height}} pixels; {{most}} are taken',
  // As FFmpeg names the commonest.
  'camera.refused': 'Connection refused',
  'camera.timed-out': 'Connection timed out',
  'camera.no-route': 'No route to host',
  'camera.no-network': 'Network is unreachable',
  'camera.unauthorised': 'Server returned 401 Unauthorized (authorization failed)',
  'camera.not-found': 'Server returned 404 Not Found',
  'camera.invalid-data': 'Invalid data found when processing input',

  'update.running-already': 'the device runs this model already',
  'update.verified': 'signature and SHA-256 are right',
  'update.waiting': 'waiting for {{count}} pieces of the file',
  'update.without-fault': '{{count}} frames without fault',
  'update.died': 'the agent died {{count}} times while trying this file',
  'update.slow': 'it takes {{own}} ms per frame, the former model {{former}} ms (more than {{times}} times slower)',
  'update.other-hash': 'the file came as {{came}}, {{promised}} was promised',
  'update.not-signed': 'the manifest is not signed by the hub that this device trusts',
  'update.class-twice': 'manifest: a class is named twice',
  'update.other-size': 'the file takes {{width}} x {{height}} pixels, its manifest says {{wantedWidth}} x {{wantedHeight}}',
  'update.self-test': 'self-test frame {{number}}: {{cause}}',
  'update.missing-detection': '{{wanted}} was expected and is missing',
  'update.other-detection': '{{wanted}} was expected, the nearest is {{nearest}}',
  'update.extra-detection': '{{extra}} was not expected',
  'update.no-result': 'no result within {{seconds}} seconds',
  'update.not-finite': 'the model gave NaN or infinite values',
  'update.other-classes': 'the model gave {{given}} classes, its manifest names {{named}}',
  'update.score': 'the model gave a score of {{score}}; probabilities are at most 1',

  'training.no-picture': 'there is no labelled picture to train on',
  'training.no-box': 'none of the pictures to train on has a box',
  'training.diverged':
    'the training diverged: for {{count}} steps the loss has been above {{times}} times its usual {{usual}} (now {{loss}}, step {{step}}); a smaller learning rate helps',

  // The log of a training.
  'log.pictures': '{{learnt}} pictures to train on, {{held}} held out; from {{base}}',
  'log.pictures-street': '{{learnt}} pictures to train on, {{held}} held out; from the street detector that comes with Muninn',
  'log.not-looked-for': '{{pictures}} pictures were labelled before there was {{label}}: nothing is learnt of it from them',
  'log.old': '{{old}} of {{all}} training pictures are old: the base model was trained on them',
  'log.queue': '{{pictures}} pictures of the queue, without labels',
  'log.queue-empty': 'no picture without a label waits in the queue',
  'log.teacher':
    '{{pictures}} pictures without labels: the teacher is sure of {{sure}} boxes, {{doubtful}} are doubtful and left out',
  'log.hub-checkpoint': 'the hub has a checkpoint of step {{step}}',
  'log.resumes': 'goes on at step {{step}} of {{steps}}',
  'log.processor': 'cpu ({{threads}} threads)',
  'log.device-quickest': 'trains on {{device}}, the quickest here',
  'log.device-only': 'trains on {{device}}, for nothing else can here',
  'log.device-measured': '{{device}}: {{milliseconds}} ms a picture',
  'log.device-not': 'not {{device}}: {{cause}}',
  'log.device-asked': 'trains on {{device}}, as asked for',
  'log.starts-over': 'the checkpoint belongs to other data or settings; the training starts over',
  'log.damaged-checkpoint': 'the training starts over: {{cause}}',
  'log.budget': '{{steps}} steps would take {{time}} min; {{fit}} fit into {{minutes}} min',
  'log.skipped': 'step {{step}}: {{cause}}; the step is left out',
  'log.not-finite': 'the gradient was not finite',
  'log.sizes': 'sizes of the input: {{sizes}}',
  'log.one-size': 'it is trained at one size: {{cause}}',
  'log.own-size': 'it is trained at its own {{size}}: {{cause}}',
  'log.plateau':
    'at step {{step}} of {{steps}}: no better than mAP50-95 {{value}} on {{pictures}} pictures kept back for {{looks}} looks',
  'log.closes': 'it closes in {{steps}} steps, which saves about {{minutes}} min',
  'log.trial': '{{name}}: mAP50-95 {{value}} on {{pictures}} pictures after {{steps}} steps',
  'log.chosen': 'chosen: {{name}}',
  'log.calibrated': 'calibration error {{before}}, {{after}} with fitted scores ({{pictures}} pictures kept back)',
  'log.not-calibrated': 'calibration error {{before}}, which fitting does not make smaller ({{pictures}} pictures kept back)',
  'log.int8-ranges': 'int8: ranges by {{rule}} from {{pictures}} training pictures',
  'log.int8-ranges-float': 'int8: ranges by {{rule}} from {{pictures}} training pictures; in float: {{layers}}',
  'log.no-int8': 'no int8: {{cause}}',
  'log.int8-to-gate': 'int8 goes to the gate',
  'log.float-to-gate': 'float goes to the gate',
  'log.result': 'mAP50 {{value}} on {{pictures}} held-out pictures',
  'log.result-champion': "mAP50 {{value}} against the champion's {{before}} on {{pictures}} held-out pictures",

  'int8.no-pictures': 'There are no held-out pictures to judge int8 on.',
  'int8.float-blind': 'The float file finds nothing on the held-out pictures, so nobody can tell what int8 loses.',
  'int8.loss': 'int8: {{name}} {{before}} → {{after}} (at most {{limit}} may be lost).',
  'int8.pace': 'int8 is {{ratio}} times as quick with {{count}} threads (at least {{limit}} is asked for).',
  'int8.pace_one': 'int8 is {{ratio}} times as quick with {{count}} thread (at least {{limit}} is asked for).',
} as const

type Key = keyof typeof sentences
/** Those that `say` is asked for; the forms for one follow from them. */
export type SentenceKey = Exclude<Key, `${string}_one`>
type Blank<T extends string> = T extends `${string}{{${infer Name}}}${infer Rest}` ? Name | Blank<Rest> : never
type Values<K extends SentenceKey> = { readonly [Name in Blank<(typeof sentences)[K]>]: string | number }

/** One sentence. A reader that does not know the key (it is of a later hub) shows the key. */
export const Said = Type.Object(
  { key: Type.String({ maxLength: 64 }), values: Type.Record(Type.String(), Type.Union([Type.String(), Type.Number()])) },
  { additionalProperties: false },
)
export type Said = Static<typeof Said>
/** Sentences that are read one after the other. */
export const Words = Type.Array(Said)
export type Words = Static<typeof Words>

export function say<K extends SentenceKey>(
  key: K,
  ...[values]: Blank<(typeof sentences)[K]> extends never ? [] : [Values<K>]
): Said {
  return { key, values: { ...values } }
}

/** Keys of what comes as plain text, the sentences with the most words of their own first. */
const told = Object.entries(sentences)
  .filter(([key]) => /^(camera|update|training|log|int8)\./.test(key))
  .map(([key, form]) => {
    const literal = form.split(/\{\{\w+\}\}/)
    const pattern = literal.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('(.+?)')
    const names = [...form.matchAll(/\{\{(\w+)\}\}/g)].map(([, name]) => name!)
    return { key: key.replace(/_one$/, ''), pattern: new RegExp(`^${pattern}$`, 's'), names, weight: literal.join('').length }
  })
  .sort((a, b) => b.weight - a.weight)

/** The sentence that a device or a trainer told as text; null for what is none of ours. */
export function recognised(text: string): Said | null {
  for (const { key, pattern, names } of told) {
    const found = pattern.exec(text)
    if (!found) continue
    const values = names.map((name, i) => [name, name === 'count' ? Number(found[i + 1]) : found[i + 1]!] as const)
    return { key, values: Object.fromEntries(values) }
  }
  return null
}

/** Nothing where there is nothing to quote. */
export const quote = (text: string): Words => (text === '' ? [] : [say('quote', { text })])

export function inEnglish(words: Said | readonly Said[]): string {
  return [words].flat().map(sentence).join(' ')
}

function sentence({ key, values }: Said): string {
  const forms: Readonly<Record<string, string>> = sentences
  const form = (values.count === 1 ? forms[`${key}_one`] : undefined) ?? forms[key] ?? key
  return form.replace(/\{\{(\w+)\}\}/g, (blank, name: string) => String(values[name] ?? blank))
}

/** The first names of a list that may be of thousands. */
export function few(names: readonly string[], most = 5): string {
  return names.length <= most ? names.join(', ') : `${names.slice(0, most).join(', ')} + ${names.length - most}`
}
