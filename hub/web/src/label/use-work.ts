/** The pictures that wait for this person: leased ahead, answered, taken back. */
import { useQueryClient } from '@tanstack/react-query'
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react'
import { flushSync } from 'react-dom'
import { ApiError, call, useApi } from '../api.ts'
import { tellError } from '../parts/tell.ts'
import type { LabelBox, LabelStore, UndoStack } from './label-store.ts'
import { type Task, WorkQueue } from './work-queue.ts'

/** A lease is renewed by asking for the same tasks again, long before it runs out. */
const renewEvery = 60_000

export interface Work {
  readonly task: Task | undefined
  readonly loading: boolean
  /** Why no pictures came when they were last asked for; null: they came. */
  readonly failed: unknown
  readonly askAgain: () => void
  /** Whether there is a picture before to go back to. */
  readonly hasDone: boolean
  readonly answer: (verdict: 'accepted' | 'rejected') => void
  readonly back: () => void
  /** Puts the boxes of the answer before on this picture. */
  readonly repeatBoxes: () => void
}

/** @param wanted a sample to begin with, whatever the queue's order is */
export function useWork(store: LabelStore, undo: UndoStack, wanted: string | undefined): Work {
  const queries = useQueryClient()
  const counts = useApi('/api/tasks/counts')
  const queue = useMemo(() => new WorkQueue({ onError: tellError }), [])
  const [tasks, setTasks] = useState<readonly Task[]>([])
  const [loading, setLoading] = useState(true)
  const [failed, setFailed] = useState<unknown>(null)
  const [done, setDone] = useState<readonly Task[]>([])
  const previous = useRef<readonly LabelBox[]>([])
  const shownAt = useRef(Date.now())
  const task = tasks[0]

  const refill = useCallback(
    async (sample?: string) => {
      try {
        const leased = await queue.lease(sample)
        // One that is asked for comes alone, and goes before those that wait here already.
        const has = (task: Task) => leased.some(({ id }) => id === task.id)
        setTasks((before) => (sample ? [...leased, ...before.filter((each) => !has(each))] : leased))
        setFailed(null)
      } catch (error) {
        setFailed(error)
        if (!(error instanceof ApiError && error.code === 'UNREACHABLE')) tellError(error)
      } finally {
        setLoading(false)
      }
    },
    [queue],
  )

  useEffect(() => {
    queue.start()
    refill(wanted).catch(() => {})
    // Asked for once: a reload goes on with the queue.
    history.replaceState(history.state, '', '/label')
    const timer = setInterval(() => refill().catch(() => {}), renewEvery)
    return () => {
      queue.stop()
      clearInterval(timer)
    }
  }, [queue, refill, wanted])
  // An empty queue looks again when the hub says that something came.
  const open = counts.data?.open ?? 0
  useEffect(() => {
    if (tasks.length === 0 && open > 0 && !loading) refill().catch(() => {})
  }, [tasks.length, open, loading, refill])

  const taskId = task?.id
  const taskVersion = task?.version
  // Together with the picture: an answer given at its first sight must not take the boxes of the one before.
  // biome-ignore lint/correctness/useExhaustiveDependencies: a task is loaded once per version; renewals must not undo work
  useLayoutEffect(() => {
    if (!task) return
    queue.keepPlace(task.id)
    store.load(queue.draft(task)?.boxes ?? task.boxes)
    undo.clear()
    shownAt.current = Date.now()
  }, [taskId, taskVersion])
  useLayoutEffect(() => {
    if (taskId === undefined || taskVersion === undefined) return
    return store.subscribe(({ boxes }, before) => {
      if (boxes !== before.boxes)
        queue.keepDraft(taskId, { version: taskVersion, boxes: boxes.map(({ id: _, ...rest }) => rest) })
    })
  }, [store, queue, taskId, taskVersion])

  const answer = useCallback(
    (verdict: 'accepted' | 'rejected') => {
      if (!task) return
      const { boxes } = store.state
      previous.current = boxes
      queue.submit({
        task: task.id,
        version: task.version,
        verdict,
        annotations: verdict === 'accepted' ? boxes.map(({ box, label: name, source }) => ({ box, label: name, source })) : [],
        // Someone who went away for lunch did not label for an hour.
        milliseconds: Math.min(Date.now() - shownAt.current, 300_000),
      })
      // At once, or the next key, however quick the hand or slow the machine, would still mean this picture.
      flushSync(() => {
        setDone((before) => [...before.slice(-49), task])
        setTasks((before) => before.slice(1))
      })
      queries.invalidateQueries({ queryKey: ['/api/tasks/counts'] }).catch(() => {})
      if (tasks.length <= 3) refill().catch(() => {})
    },
    [task, tasks.length, queue, store, refill, queries],
  )

  const back = useCallback(async () => {
    const last = done.at(-1)
    if (!last) return
    try {
      await queue.send()
      await call('POST', `/api/tasks/${last.id}/reopen`)
      setDone((before) => before.slice(0, -1))
      await refill(last.sample.id)
    } catch (error) {
      tellError(error)
    }
  }, [done, queue, refill])

  const repeatBoxes = useCallback(() => store.addCopies(previous.current), [store])

  const askAgain = useCallback(() => {
    refill(wanted).catch(() => {})
  }, [refill, wanted])

  return { task, loading, failed, askAgain, hasDone: done.length > 0, answer, back, repeatBoxes }
}
