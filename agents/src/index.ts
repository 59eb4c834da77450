/** The agents that come with Cadre. */
export type { Citation, Claim } from './citation.ts'
export type { LoadedDocument } from './documents/document.ts'
export { FolderError, readFolder } from './documents/folder.ts'
export type { GoalInput } from './roles/coordinator.ts'
export type { FinalResult } from './roles/writer.ts'
export { startAgent, type WorkerAssignment } from './worker.ts'
