/** Which work of a machine goes first: cameras and a hub's pages, then its trainer, and in the trainer steps before batches made ahead. */
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { constants, getPriority, setPriority } from 'node:os'
import { basename } from 'node:path'

const { PRIORITY_BELOW_NORMAL, PRIORITY_LOW } = constants.priority

/**
 * Lets everything else on this machine go before this process. What it starts later takes it over. Where there is no right to, the process works
 * at the priority that it has.
 */
export function lowerPriority(): void {
  for (const id of threads()) lower(id, PRIORITY_BELOW_NORMAL)
  lowerSession()
}

/**
 * Lets the process's other threads go before this one. Linux has a priority for each thread; elsewhere it would be the process's, which stays as
 * it is.
 */
export function lowerOwnThread(by: number): void {
  try {
    const id = Number(basename(readlinkSync('/proc/thread-self')))
    lower(id, Math.min(getPriority(id) + by, PRIORITY_LOW))
  } catch {
    // No /proc: the thread does its work all the same.
  }
}

/** On Linux each has a priority of its own, and some are there before the first line of a program runs. 0: the process. */
function threads(): number[] {
  try {
    return readdirSync('/proc/self/task').map(Number)
  } catch {
    return [0]
  }
}

/** Who has started it with a lower priority still (`nice`) keeps that. */
function lower(id: number, priority: number): void {
  try {
    if (getPriority(id) < priority) setPriority(id, priority)
  } catch {
    // The thread has ended, or there is no right to.
  }
}

/**
 * Linux with autogroups (sched(7)) first shares the cores out to sessions, by a priority that each session has, and then in a session by those
 * of its threads: a process in a session of its own, as `muninn up` starts its parts, would get as much as all the others. A session that it has
 * not begun is left as it is, for a shell and what else runs in it have that too.
 */
function lowerSession(): void {
  try {
    // proc_pid_stat(5): the sixth field is the session, the fourth behind the name in brackets.
    const session = Number(readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)!.split(' ')[3])
    const now = Number(/nice (-?\d+)/.exec(readFileSync('/proc/self/autogroup', 'utf8'))?.[1])
    if (session === process.pid && now < PRIORITY_BELOW_NORMAL)
      writeFileSync('/proc/self/autogroup', String(PRIORITY_BELOW_NORMAL))
  } catch {
    // There are no autogroups.
  }
}
