CREATE TABLE [dbo].[follows] (
    [a] int NOT NULL,
    [b] int NOT NULL,
    CONSTRAINT [PK_follows] PRIMARY KEY ([a], [b])
);
