// Decides the simulations that come as JSON lines, and answers each with a line: its verdict, or its errors.
import { createInterface } from 'node:readline'
import { runSimulation } from '@cloud-copilot/iam-simulate'

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await runSimulation(JSON.parse(line), {})
  const ignored = answer.result?.ignoredContextKeys ?? []
  const errors = answer.errors ?? (ignored.length ? { ignored } : undefined)
  console.log(errors ? JSON.stringify(errors) : answer.overallResult)
}
