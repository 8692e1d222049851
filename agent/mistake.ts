/** What is wrong with a value and how to correct it: the end of a sentence that starts with the value. */
export class Mistake extends Error {}
