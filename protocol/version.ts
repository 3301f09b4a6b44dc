/** Muninn's version, as package.json has it; here, so that browsers and devices need no file for it. */
export const version = '0.1.0'
