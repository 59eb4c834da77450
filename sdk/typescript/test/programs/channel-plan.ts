// The channel plan's example, line by line in TypeScript: `node channel-plan.ts <server url>`.
import { AgentClient } from '@cadre/sdk'

const processTask = async (task: { title: string }) => ({ done: task.title })

// Initialize client
const agent = new AgentClient('research_agent', 'llm', process.argv[2] ?? 'http://localhost:8000')

// Connect to server
await agent.connect()

// Send message
await agent.sendMessage('Starting research task...', ['analysis_agent'])

// Create and assign task
const task = await agent.createTask('Analyze data', 'Process the dataset', 1, 'analysis_agent')
console.log(`created ${task.id}`)

// Share memory
await agent.setMemory('research_results', { findings: '...' })

// Listen for messages
agent.onMessage((message) => {
  console.log(`Received: ${String(message.content)}`)
})

// Listen for tasks
agent.onTaskAssigned(async (assigned) => {
  const result = await processTask(assigned)
  await agent.completeTask(assigned.id, result)
})
