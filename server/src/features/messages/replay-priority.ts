/** Priority of replayed copies in an inbox: below all that senders can give, so that what is new comes first. */
export const replayPriority = 10
