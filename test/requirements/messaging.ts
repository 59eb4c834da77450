import type { Row } from './row.ts'

export const messaging = [
  [
    'MSG-01',
    'Message to one agent',
    'Only the addressed agent receives it, and the sender watches the receipt turn to delivered.',
  ],
  [
    'MSG-02',
    'Routing by type and content',
    'With a rule sending analysis types to an idle analyst, an unaddressed message finds one and records which rule chose it.',
  ],
  [
    'MSG-03',
    'Broadcast',
    'A single send comes out at every connected agent but its author, and is kept for the disconnected ones until they return.',
  ],
  [
    'MSG-04',
    'Topics',
    'Every subscriber except the publisher gets what is published; an agent that unsubscribes gets nothing further.',
  ],
  [
    'MSG-05',
    'Ask and reply',
    'Asking resolves with the matching reply or rejects with a timeout error by its deadline; a reply after that stays on record.',
  ],
  [
    'MSG-06',
    'Blackboard',
    'Simultaneous writers lose nothing; a substring, whatever its case, finds entries and tells who wrote them, when and about what.',
  ],
  [
    'MSG-07',
    'Blackboard agents',
    'Findings posted by one agent are read by key from another that has never exchanged a message with it.',
  ],
  ['MSG-08', 'Kinds of message', 'Request, response, broadcast and system can each be sent and used to narrow the history.'],
  [
    'MSG-09',
    'Full envelope',
    'Reading a message by id gives all its fields; anything the schema does not know comes back under metadata.',
  ],
  ['MSG-10', 'Intents', 'Delegating opens a task tied to the message, and escalating puts the message before the operator.'],
  ['MSG-11', 'Message priority', 'A critical message sent behind a hundred normal ones is the next to be handled.'],
  ['MSG-12', 'Inbox per agent', 'The page of an agent tells how many messages wait for it and how long the oldest has waited.'],
  [
    'MSG-13',
    'Hold while away, deliver on return',
    'An agent that was down gets everything sent meanwhile, once and in sending order, as soon as it connects.',
  ],
  ['MSG-14', 'Lasting history', 'A conversation is listed in full after the server has been stopped and started again.'],
  ['MSG-15', 'Replay of a topic', 'From a chosen moment or position a newcomer receives past messages, each marked as replayed.'],
  [
    'MSG-16',
    'At-least-once delivery',
    'A receiver killed while handling a message is given that message again under an unchanged id.',
  ],
  [
    'MSG-17',
    'Dead letters',
    'A message out of permitted attempts is listed under dead.letter, cause included, and can be sent on its way again.',
  ],
  [
    'MSG-18',
    'Standard topics',
    'agent.lifecycle, agent.tasks, agent.communication, agent.state, system.events and dead.letter exist from the start and carry their events.',
  ],
  [
    'MSG-19',
    'Partitions and keyed order',
    'The broker shows 3, 6, 3, 3, 1 and 1 partitions over lifecycle, tasks, communication, state, dead letters and system events; one key stays in order while keys proceed side by side.',
  ],
  [
    'MSG-20',
    'Separate consumer groups',
    'A lagging metrics reader leaves workers unhindered, and the metrics page shows a lag for each group.',
  ],
  ['MSG-21', 'Sending does not wait for handling', 'A send is answered within milliseconds although its handler needs seconds.'],
  [
    'MSG-22',
    'Working without the broker',
    'With Redis stopped sends still succeed and the system calls itself degraded; with Redis back the backlog empties.',
  ],
  [
    'MSG-23',
    'Agent events between nodes',
    'Arrivals, departures and status changes seen on the bus suffice for another node to update its registry.',
  ],
  [
    'MSG-24',
    'Traffic per task and agent',
    'A task lists the messages it caused, and the summary of a run counts them for each agent.',
  ],
  [
    'MSG-25',
    'Refusing malformed messages',
    'A faulty message is answered with a client error that points at the field, and leaves nothing in the store.',
  ],
  ['MSG-26', 'Stop message', 'A system stop lets the agent finish what it holds and then end cleanly.'],
  ['MSG-27', 'Searching the message list', 'Sender, task, type and time narrow the list, which comes in pages.'],
  ['MSG-28', 'Several named recipients', 'A send naming a list of recipients arrives at all of them and at nobody else.'],
] as const satisfies readonly Row[]
