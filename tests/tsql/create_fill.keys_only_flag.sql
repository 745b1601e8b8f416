CREATE TABLE [dbo].[follows] (
    [a] int NOT NULL,
    [b] int NOT NULL,
    [is]]deleted] bit NOT NULL DEFAULT 0
);
